import asyncio

import pytest

from ops.bench.measure import Latency, at_once, interleaved


async def test_so_many_calls_are_under_way_at_a_time_and_the_first_are_not_counted() -> None:
    under_way, most, made = 0, 0, 0

    async def call() -> None:
        nonlocal under_way, most, made
        under_way, made = under_way + 1, made + 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    latency = await at_once(call, concurrency=4, calls=10)
    assert (most, made, latency.calls) == (4, 18, 10)
    assert (await at_once(call, concurrency=4, calls=3, warm_up=0)).calls == 3


async def test_each_call_has_its_turn_in_every_round() -> None:
    order = []

    async def a() -> None:
        order.append("a")

    async def b() -> None:
        order.append("b")

    measured = await interleaved({"a": a, "b": b}, rounds=2, warm_up=1)
    assert order == ["a", "b"] * 3
    assert {name: latency.calls for name, latency in measured.items()} == {"a": 2, "b": 2}


def test_percentiles_are_in_milliseconds() -> None:
    latency = Latency.of([number / 1000 for number in range(1, 101)])
    assert (latency.p50, round(latency.p95), round(latency.p99)) == (50.5, 95, 99)
    with pytest.raises(ValueError, match="no call"):
        Latency.of([])
