"""What callers went through, from the log of their calls. Pure; seconds of one clock throughout."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, takewhile
from typing import Any

RATE_WINDOW = 1.0
"""Seconds over which a rate is taken."""
_PROMPT = 0.5
EVEN_AT = 0.95
"""The share of calls that are answered promptly when a load counts as even."""
BACK_AT = 0.9
"""The share of the rate before the fault at which the load counts as back."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the load, after everything the mesh and the client did for it."""

    kind: str
    writes: bool
    arrived: float
    """When it was to begin, whether the generator was late or not."""
    ended: float
    error: str = ""
    """What it ended with; empty: OK."""
    began: float | None = None
    """When it did begin; None: when it was to."""

    @property
    def ok(self) -> bool:
        """Whether it was answered OK."""
        return not self.error


@dataclass(frozen=True, slots=True)
class Window:
    """From 5 s before the injection to 5 s after the recovery."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the intended arrival to an OK answer."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured of the calls of a window."""

    calls: int
    acknowledged: int
    failed_calls: int
    error_share: float
    longest_error_gap_seconds: float
    write_outage_seconds: float
    latency_ms: Latency | None
    """None: nothing was answered OK."""
    errors: dict[str, int]
    """How many calls failed, by kind and what with."""

    def as_fields(self) -> dict[str, Any]:
        """As fields of a record."""
        fields = asdict(self)
        del fields["errors"]
        return fields


def figures(calls: Iterable[Call], window: Window) -> Figures:
    """The figures of the calls that arrived in the window. ValueError if none did."""
    within = [call for call in calls if window.begin <= call.arrived < window.end]
    if not within:
        raise ValueError("no call was made in the window")
    failed = [call for call in within if not call.ok]
    fine = [call for call in within if call.ok]
    return Figures(
        calls=len(within),
        acknowledged=len(fine),
        failed_calls=len(failed),
        error_share=round(len(failed) / len(within), 6),
        longest_error_gap_seconds=longest_gap((call.ended for call in fine), window),
        write_outage_seconds=longest_gap((call.ended for call in fine if call.writes), window),
        latency_ms=latency(fine),
        errors=counted(f"{call.kind}: {call.error}" for call in failed),
    )


def longest_gap(answers: Iterable[float], window: Window) -> float:
    """The longest time within the window without one of these answers."""
    moments = sorted(moment for moment in answers if window.begin <= moment < window.end)
    edges = [window.begin, *moments, window.end]
    return round(max(after - before for before, after in pairwise(edges)), 3)


def latency(calls: Collection[Call]) -> Latency | None:
    """Of these calls; None if there are none."""
    took = sorted((call.ended - call.arrived) * 1000 for call in calls)
    if not took:
        return None
    return Latency(round(percentile(took, 0.5), 3), round(percentile(took, 0.99), 3), round(took[-1], 3))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least of these values, in ascending order, that this share of them does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rate(calls: Iterable[Call], window: Window) -> float:
    """OK answers a second in a window."""
    answered = sum(1 for call in calls if call.ok and window.begin <= call.ended < window.end)
    return answered / (window.end - window.begin)


def is_even(calls: Sequence[Call], rate: float, now: float, over: float = _PROMPT) -> bool:
    """Whether what arrived within so many seconds, until half a second ago, was answered as fast as it came.

    `calls`: in the order in which they ended. Only the last are looked at, for it is asked again and again.
    """
    since, until = now - over - _PROMPT, now - _PROMPT
    latest = takewhile(lambda call: call.ended >= since, reversed(calls))
    prompt = sum(
        1
        for call in latest
        if since <= call.arrived < until and call.ok and call.ended - call.arrived < _PROMPT
    )
    return prompt >= EVEN_AT * rate * over


def back_at(answers: Sequence[float], healthy_at: float, rate_before: float, now: float) -> float | None:
    """The first moment, with all healthy, from which a second's OK answers were as many as before the fault.

    `answers`: when OK answers came, in ascending order. None: not yet.
    """
    enough = BACK_AT * rate_before * RATE_WINDOW
    first = bisect_left(answers, healthy_at)
    for begin in (healthy_at, *answers[first:]):
        if begin + RATE_WINDOW > now:
            return None
        if bisect_right(answers, begin + RATE_WINDOW) - bisect_left(answers, begin) >= enough:
            return begin
    return None


def counted(errors: Iterable[str]) -> dict[str, int]:
    """How often each is there."""
    found: dict[str, int] = {}
    for error in errors:
        found[error] = found.get(error, 0) + 1
    return found
