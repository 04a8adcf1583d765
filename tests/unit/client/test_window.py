"""Room for calls, in a time that only the test moves."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie_client.window import Window

LATER = 100.0
"""A deadline that no test waits for."""


class World:
    """A window, and who is in it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.window = Window(lambda: self.now)
        self.order: list[float] = []
        """Deadlines of those that came in, in that order."""

    def call(self, ends: float = LATER) -> "asyncio.Task[float]":
        async def enter() -> float:
            entered = await self.window.enter(ends)
            self.order.append(ends)
            return entered

        return asyncio.ensure_future(enter())

    async def calls(self, number: int) -> list[float]:
        return [await self.call() for _ in range(number)]

    def leave(self, entered: float = math.inf, *, refused: bool = False) -> None:
        self.window.leave(entered, refused_for=0.0 if refused else None)

    async def closed_to(self, room: int) -> None:
        """Closes it, with nobody in it."""
        entered = await self.calls(2 * room)
        self.now += 0.1
        self.leave(entered[0], refused=True)
        for one in entered[1:]:
            self.leave(one, refused=True)


@pytest.fixture
def world() -> World:
    return World()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_while_nothing_is_refused_any_number_is_under_way(world: World) -> None:
    await world.calls(1_000)
    for _ in range(500):
        world.leave()
    assert world.window.is_open


async def test_a_refusal_leaves_room_for_half_of_those_under_way(world: World) -> None:
    await world.closed_to(4)
    calls = [world.call() for _ in range(6)]
    await settled()
    assert [call.done() for call in calls] == [True] * 4 + [False] * 2
    world.leave()
    await settled()
    assert calls[4].done()
    assert not calls[5].done()
    calls[5].cancel()


async def test_when_even_one_is_too_many_nobody_tries_for_a_while_and_then_one_does(world: World) -> None:
    await world.closed_to(1)
    call = world.call()
    for _ in range(3):
        entered = await call
        world.now += 0.1
        world.window.leave(entered, refused_for=0.01)
        call = world.call()
        await asyncio.sleep(0)
        assert not call.done()
        assert not world.window.is_open
    assert await call == world.now


async def test_who_has_the_least_time_left_comes_first(world: World) -> None:
    await world.closed_to(1)
    await world.call()
    waiting = [world.call(ends) for ends in (30.0, 10.0, 20.0)]
    await settled()
    for _ in waiting:
        world.leave()
        await settled()
    assert world.order[-3:] == [10.0, 20.0, 30.0]


async def test_rounds_of_answers_make_room_for_more_one_at_a_time(world: World) -> None:
    await world.closed_to(4)
    for _ in range(2):
        await world.calls(4)
        for _ in range(4):
            world.leave()
    calls = [world.call() for _ in range(6)]
    await settled()
    assert sum(call.done() for call in calls) == 5
    calls[-1].cancel()


async def test_after_a_quiet_second_it_is_open_again(world: World) -> None:
    await world.closed_to(1)
    world.now += 1.1
    await world.calls(100)
    assert world.window.is_open


async def test_who_has_no_room_in_time_is_told(world: World) -> None:
    await world.closed_to(1)
    await world.call()
    with pytest.raises(TimeoutError):
        await world.window.enter(world.now + 0.01)
    world.leave()
    assert await world.call() == world.now


@pytest.mark.parametrize("at_once", [False, True])
async def test_who_gives_up_takes_nobodys_room(world: World, at_once: bool) -> None:
    await world.closed_to(1)
    await world.call()
    leaving, staying = world.call(1.0 + LATER), world.call(2.0 + LATER)
    await settled()
    if at_once:
        world.leave()
        leaving.cancel()
    else:
        leaving.cancel()
        await settled()
        world.leave()
    await settled()
    assert leaving.cancelled()
    assert staying.done()


@given(st.lists(st.sampled_from(["call", "answer", "refuse", "give up", "wait"]), max_size=80))
async def test_nobody_waits_while_there_is_room_and_all_come_in_at_last(history: list[str]) -> None:
    world = World()
    calls: list[asyncio.Task[float]] = []
    inside: list[float] = []

    async def move() -> None:
        await settled()
        for call in [call for call in calls if call.done()]:
            calls.remove(call)
            if not call.cancelled():
                inside.append(call.result())

    for step in history:
        world.now += 0.01
        match step:
            case "call":
                calls.append(world.call())
            case "answer" | "refuse" if inside:
                world.leave(inside.pop(), refused=step == "refuse")
            case "give up" if calls:
                calls.pop().cancel()
            case "wait":
                world.now += 2.0
        await move()
        assert inside or not calls
    while inside:
        world.leave(inside.pop())
        await move()
    assert not calls
