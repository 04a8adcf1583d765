"""More calls at an edge than are answered in good time."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from mesh.resources.crowd import Room
from services.runtime.errors import Overloaded, from_rpc_error
from tests.stack.mesh.table import ASK, ONCE, TELL
from tests.stack.mesh.world import FakeService, World, eventually

ROOM = Room()
CROWD = 3 * ROOM.most
SLOW = 0.5
"""Seconds a call takes then: twice what the edge is content with."""
STUCK = 1.5
"""Seconds a call takes of a service that stands still for a while."""


@pytest.fixture
async def tellers(world: World) -> AsyncIterator[list[FakeService]]:
    """Slow for a while."""
    found = [world.services["teller-a-0"], world.services["teller-b-0"]]
    for teller in found:
        teller.delay = SLOW
    yield found
    for teller in found:
        teller.delay = 0.0


async def at_once(
    world: World, port: int, number: int, method: str = "Do", api: str = ONCE
) -> list[grpc.aio.AioRpcError]:
    """So many calls at the same moment: how those failed that did."""
    async with world.edge(port) as channel:
        one: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{api}/{method}")
        metadata = world.bearer()
        calls = [asyncio.ensure_future(_call(one, metadata)) for _ in range(number)]
        return [error for error in await asyncio.gather(*calls) if error is not None]


async def _call(
    one: "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]", metadata: tuple[tuple[str, str], ...]
) -> grpc.aio.AioRpcError | None:
    try:
        await one(b"", metadata=metadata, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_what_is_too_much_is_refused_with_a_delay_and_all_else_is_answered(
    world: World, tellers: list[FakeService]
) -> None:
    port = world.topology.edges[0].public_port
    before = sum(teller.calls for teller in tellers)
    taken_in: list[int] = []
    for _ in range(10):
        refused = await at_once(world, port, CROWD)
        for error in refused:
            told = from_rpc_error(error)
            assert isinstance(told, Overloaded), error
            assert told.retry_delay, error
        taken_in.append(CROWD - len(refused))
        assert taken_in[-1] >= ROOM.least
    # What was refused reached nobody, what reached somebody was answered, once.
    assert sum(teller.calls for teller in tellers) - before == sum(taken_in)
    assert taken_in[-1] <= ROOM.of_one_api

    for teller in tellers:
        teller.delay = 0.0

    async def comes_through() -> bool:
        return not await at_once(world, port, ROOM.least) and not await at_once(world, port, ROOM.of_one_api)

    await eventually(comes_through, "the edge lets more in when calls are quick again")


async def test_an_api_that_stands_still_leaves_room_for_the_others(
    world: World, tellers: list[FakeService]
) -> None:
    port = world.topology.edges[0].public_port
    for teller in tellers:
        teller.delay = 0.0

    async def lets_many_in() -> bool:
        refused = await asyncio.gather(
            *(at_once(world, port, ROOM.most // 2, api=api) for api in (ASK, TELL))
        )
        return not any(refused)

    await eventually(lets_many_in, "the edge lets many in while calls are quick")
    for teller in tellers:
        teller.delay = STUCK
    before = sum(teller.calls for teller in tellers)
    stuck = asyncio.ensure_future(at_once(world, port, CROWD))

    async def takes_all_its_places() -> bool:
        return sum(teller.calls for teller in tellers) - before == ROOM.of_one_api

    await eventually(takes_all_its_places, "calls wait for the service that stands still")
    assert not await at_once(world, port, ROOM.most - ROOM.of_one_api, api=ASK)
    assert not stuck.done()
    assert len(await stuck) == CROWD - ROOM.of_one_api


async def test_operators_and_lists_are_not_counted_among_the_crowd(
    world: World, tellers: list[FakeService]
) -> None:
    assert tellers
    edge = world.topology.edges[0]
    operators, lists = await asyncio.gather(
        at_once(world, edge.operator_port, CROWD), at_once(world, edge.public_port, CROWD, "ListDo")
    )
    assert not operators
    assert not lists
