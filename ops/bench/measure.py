"""Measures calls: one after the other, interleaved, or so many at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies of one kind of call, in milliseconds."""

    p50: float
    p95: float
    p99: float
    calls: int

    @staticmethod
    def of(seconds: Sequence[float]) -> "Latency":
        """The percentiles of measured durations. ValueError if there is none."""
        if not seconds:
            raise ValueError("no call was measured")
        p50, p95, p99 = (float(q) * 1000 for q in np.percentile(seconds, (50, 95, 99)))
        return Latency(round(p50, 3), round(p95, 3), round(p99, 3), len(seconds))


async def interleaved(calls: Mapping[str, Call], rounds: int, warm_up: int = 20) -> dict[str, Latency]:
    """Makes each call once a round, in turn, so that a drift of the machine meets all alike.

    The first `warm_up` rounds are not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm_up + rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            await call()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - began)
    return {name: Latency.of(values) for name, values in seconds.items()}


async def at_once(call: Call, concurrency: int, calls: int, warm_up: int | None = None) -> Latency:
    """Makes `calls` calls, `concurrency` at a time: as one ends the next begins.

    The first `warm_up` (by default two for each caller) are not counted.
    """
    warm_up = 2 * concurrency if warm_up is None else warm_up
    left = iter(range(warm_up + calls))
    seconds: list[float] = []

    async def caller() -> None:
        for number in left:
            began = time.perf_counter()
            await call()
            if number >= warm_up:
                seconds.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return Latency.of(seconds)
