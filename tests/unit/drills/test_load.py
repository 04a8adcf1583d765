"""Loads in a time of their own, with people whose calls end when the test says so."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean, pstdev

import pytest

from ops.drills.crowd import respond
from ops.drills.journal import Journal
from ops.drills.load import Load, Traffic
from ops.drills.people import World
from ops.local.home import Home
from ops.local.platform import Platform
from reverie_client import errors


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.late = 0.0
        """Every sleep takes so much longer than it should."""

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + (self.late if seconds else 0.0)
        await asyncio.sleep(0)


class Someone:
    """Whose calls take as long as `answer` does."""

    def __init__(self, answer: Callable[[], Awaitable[None]]) -> None:
        self._answer = answer
        self.numbers: list[int] = []

    def can(self, kind: str) -> str:
        return kind

    @property
    def does(self) -> Mapping[str, Callable[[int], Awaitable[None]]]:
        async def call(number: int) -> None:
            self.numbers.append(number)
            await self._answer()

        return dict.fromkeys(Traffic().mix, call)


async def at_once() -> None:
    """An answer without delay."""


def load_of(*people: Someone, time: Time) -> Load:
    world = World(Journal(), Random(1), time.clock, "talk", sleep=time.sleep)
    return Load(people, Traffic(), world)  # type: ignore[arg-type]  # of a person it uses no more than this


async def test_calls_arrive_at_their_rate_whether_those_before_were_answered_or_not() -> None:
    time, answered = Time(), asyncio.Event()

    async def answer() -> None:
        await answered.wait()

    someone = Someone(answer)
    working = load_of(someone, time=time)
    arriving = asyncio.create_task(working.arrive(rate=100, seconds=1))
    while len(someone.numbers) < 100:  # noqa: ASYNC110  (the load tells nobody of its calls)
        await asyncio.sleep(0)
    assert working.calls == []
    answered.set()
    await arriving
    assert [round(call.arrived - 100, 6) for call in working.calls] == [turn / 100 for turn in range(100)]


async def test_callers_who_know_nothing_of_each_other_arrive_at_random() -> None:
    time = Time()
    working = load_of(Someone(at_once), time=time)
    await working.arrive(rate=100, seconds=40, at_random=True)
    arrived = [call.arrived for call in working.calls]
    gaps = [after - before for before, after in pairwise(arrived)]
    assert fmean(gaps) == pytest.approx(0.01, rel=0.1)
    assert pstdev(gaps) == pytest.approx(fmean(gaps), rel=0.1)
    assert time.now - 100 == pytest.approx(40, abs=0.2)


async def test_latency_counts_from_the_intended_arrival_when_the_generator_is_late() -> None:
    time = Time()
    time.late = 0.5
    working = load_of(Someone(at_once), time=time)
    await working.arrive(rate=10, seconds=1)
    assert len(working.calls) == 10
    assert max(call.ended - call.arrived for call in working.calls) >= 0.5


async def test_a_call_that_fails_is_told_with_its_error_and_no_answer() -> None:
    async def refuse() -> None:
        raise errors.Overloaded("", reason="OVERLOADED")

    working = load_of(Someone(refuse), time=Time())
    await working.arrive(rate=10, seconds=0.1)
    assert [call.error for call in working.calls] == ["Overloaded OVERLOADED"]
    assert working.answers == []


async def test_a_bug_in_a_call_ends_the_load_and_is_told() -> None:
    async def stumble() -> None:
        raise KeyError("a bug")

    working = load_of(Someone(stumble), time=Time())
    working.start()
    assert working._running
    await asyncio.wait([working._running])
    with pytest.raises(ExceptionGroup):
        working.check()
    with pytest.raises(ExceptionGroup):
        await working.stop()


async def test_all_take_turns_and_every_call_has_a_number_of_its_own() -> None:
    people = [Someone(at_once) for _ in range(3)]
    working = load_of(*people, time=Time())
    await working.arrive(rate=10, seconds=1)
    await working.arrive(rate=10, seconds=0.5)
    numbers = [number for someone in people for number in someone.numbers]
    assert sorted(numbers) == [*range(15)]
    assert [len(someone.numbers) for someone in people] == [5, 5, 5]


async def test_kinds_of_calls_come_in_the_shares_of_the_mix() -> None:
    working = load_of(Someone(at_once), time=Time())
    await working.arrive(rate=100, seconds=20)
    kinds, mix = Counter(call.kind for call in working.calls), Traffic().mix
    assert all(abs(kinds[kind] / 2000 - share / sum(mix.values())) < 0.04 for kind, share in mix.items())


async def test_callers_of_a_saturated_platform_wait_for_their_answers() -> None:
    time = Time()
    under_way = most = 0

    async def answer() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await time.sleep(0.01)
        under_way -= 1

    working = load_of(Someone(answer), time=time)
    await working.saturate(callers=4, seconds=1)
    assert most == 4
    assert len(working.calls) >= 100


async def test_callers_who_are_told_to_come_later_do_so() -> None:
    time = Time()

    async def refuse() -> None:
        raise errors.Overloaded("", retry_delay=timedelta(seconds=0.2))

    working = load_of(Someone(refuse), time=time)
    await working.saturate(callers=1, seconds=0.9)
    assert len(working.calls) == 5


async def test_a_member_of_a_crowd_tells_the_calls_of_the_phase_it_was_asked_for() -> None:
    working = load_of(Someone(at_once), time=Time())
    nowhere = Platform(Home(Path("nowhere")))
    first = await respond(working, nowhere, {"does": "Arrive", "rate": 10, "seconds": 2})
    second = await respond(working, nowhere, {"does": "Arrive", "rate": 10, "seconds": 3})
    began = [call[2] for call in (*first["calls"], *second["calls"])]
    assert len(began) == len(set(began)) == len(working.calls)
    assert (len(first["calls"]), len(second["calls"])) == (21, 26)
    assert await respond(working, nowhere, {"does": "Wait"}) == {"calls": []}
