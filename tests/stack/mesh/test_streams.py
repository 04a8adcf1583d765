"""Streams through edge and sidecars: no end by time, no repeats, and none that stands still stops others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from tests.stack.mesh.table import FLOW, TELL
from tests.stack.mesh.world import Metadata, World, call, eventually

TELLERS = ("teller-a-0", "teller-b-0")
STANDING = 12
"""Streams with full windows: more than a connection holds that is made for calls alone."""


@asynccontextmanager
async def edge(world: World) -> AsyncIterator[grpc.aio.Channel]:
    async with world.edge(world.topology.edges[0].public_port) as channel:
        yield channel


def flow(
    channel: grpc.aio.Channel, metadata: Metadata, method: str = "Flow"
) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
    begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{FLOW}/{method}")
    return begin(metadata=metadata)


async def test_a_stream_outlives_the_timeout_of_its_api_and_ends_when_nothing_passes(world: World) -> None:
    async with edge(world) as channel:
        stream = flow(channel, world.bearer())
        assert await stream.read() in {teller.encode() for teller in TELLERS}
        for number in range(8):
            await stream.write(b"%d" % number)
            assert await stream.read() == b"%d" % number
            await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(stream.read(), 5)
        assert caught.value.code() is not grpc.StatusCode.OK
        assert not isinstance(caught.value, TimeoutError)


async def test_a_stream_without_a_jwt_is_refused(world: World) -> None:
    async with edge(world) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await flow(channel, ()).read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_larger_than_any_buffer_passes_both_ways(world: World) -> None:
    async with edge(world) as channel:
        stream, part = flow(channel, world.bearer()), b"x" * 1024 * 1024
        await stream.read()
        for _ in range(24):
            await stream.write(part)
            assert await stream.read() == part
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


class Filler:
    """Writes to a stream as fast as it is taken, and reads its answers only when told to."""

    def __init__(self, stream: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        self.written = 0
        self._stream = stream
        self._task = asyncio.ensure_future(self._fill())

    async def _fill(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            await self._stream.read()
            while True:
                await self._stream.write(b"x" * 128 * 1024)
                self.written += 1

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    async def stop(self) -> None:
        self._stream.cancel()
        await self._task


async def test_streams_that_stand_still_stop_no_other_call(world: World) -> None:
    """Of whichever side: services that read no further, and callers that take no answers."""
    async with edge(world) as channel:
        fillers = [Filler(flow(channel, world.bearer(), "Stand")) for _ in range(STANDING)]
        try:
            for reading in (False, True):
                for teller in TELLERS:
                    (
                        world.services[teller].reading.set
                        if reading
                        else world.services[teller].reading.clear
                    )()
                await eventually(lambda: _stand_still(fillers), "every stream begun and standing still")
                for _ in range(10):
                    await call(channel, TELL, world.bearer())
        finally:
            for teller in TELLERS:
                world.services[teller].reading.set()
            for filler in fillers:
                await filler.stop()


async def _stand_still(fillers: list[Filler]) -> bool:
    before = [filler.written for filler in fillers]
    await asyncio.sleep(0.2)
    assert not any(filler.has_ended for filler in fillers)
    return all(before) and before == [filler.written for filler in fillers]
