"""Promises of hints: they wake workers, and nothing depends on them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio.cluster import RedisCluster

from services.analyse import hints as read
from services.analyse.hints import HintsDownError, ValkeyHints
from services.analyse.planner import Key, Pace
from services.runtime.valkey import close
from services.storage import hints as written
from services.storage.client import HINT_STREAM
from services.storage.hints import HintStream, Sweeper
from tests.stack.analyse.conftest import ValkeyServer
from tests.stack.analyse.workers import Instant, all_analysed, vectors, working
from tests.stack.servers import until
from tests.stack.storage.harness import Storage, create, memory, owner_of

ONLY_HINTS = Pace(poll_seconds=30.0)
"""A worker that would look by itself much later than any test waits."""


def test_what_one_side_packs_the_other_unpacks() -> None:
    keys = [(uuid4(), uuid4()) for _ in range(150)]
    packed = list(written.entries(keys))
    assert len(packed) == 3
    assert [key for entry in packed for key in read.decoded(entry)] == [
        Key(owner.bytes, id_.bytes) for owner, id_ in keys
    ]


async def test_a_hint_wakes_a_worker_at_once(storage: Storage, socket: Path, valkey: "RedisCluster") -> None:
    stream = HintStream(valkey)
    stage = Instant()
    async with working(socket, stage, ValkeyHints(valkey, "one"), pace=ONLY_HINTS):
        await until(_listens(valkey, "one"), "the worker listens")
        operation = create("ana")
        await storage.written(operation)
        stream.wrote([(owner_of("ana"), operation.id)])
        await stream.flush()
        await all_analysed(storage)
    assert stream.sent.value() == 1


async def test_hints_are_spread_over_the_workers_of_a_group(valkey: "RedisCluster") -> None:
    stream = HintStream(valkey)
    one, two = ValkeyHints(valkey, "one"), ValkeyHints(valkey, "two")
    await one.read(0.01)
    keys = [(uuid4(), uuid4()) for _ in range(64 * 32)]
    stream.wrote(keys)
    await stream.flush()
    first, second = await one.read(1), await two.read(1)
    assert len(first) == len(second) == 64 * 16
    assert not {*first} & {*second}


async def test_a_flush_of_valkey_with_a_backlog_loses_no_analysis(
    storage: Storage, socket: Path, valkey: "RedisCluster"
) -> None:
    stream = HintStream(valkey)
    operations = [create(f"u{n % 3}", memory(f"{n}")) for n in range(200)]
    await storage.written(*operations)
    stream.wrote([(owner_of(one.user), one.id) for one in operations])
    await stream.flush()
    await valkey.flushall()
    async with working(socket, Instant(), ValkeyHints(valkey, "one"), pace=Pace(poll_seconds=0.05)):
        await valkey.flushall()
        await all_analysed(storage)
        assert await vectors(storage) == 200
        # The group is gone with the rest: it is made again, and hints go on.
        await valkey.flushall()
        await storage.written(create("ana"))
        await all_analysed(storage)


async def test_without_valkey_writes_and_analysis_go_on(
    storage: Storage, socket: Path, valkey_server: ValkeyServer
) -> None:
    client = valkey_server.client()
    stream = HintStream(client, pause=_at_once)
    valkey_server.kill()
    hints = ValkeyHints(client, "one")
    with pytest.raises(HintsDownError):
        await hints.read(0.01)
    async with working(socket, Instant(), hints, pace=Pace(poll_seconds=0.05)):
        operation = create("ana")
        await storage.written(operation)
        stream.wrote([(owner_of("ana"), operation.id)])
        await stream.flush()
        assert stream.dropped.value() == 1
        await all_analysed(storage)
        await valkey_server.start()

        async def is_taken() -> bool:
            stream.wrote([(owner_of("ana"), operation.id)])
            await stream.flush()
            return stream.sent.value() > 0

        await until(is_taken, "a hint is taken again")
    await close(client)


async def test_taking_hints_never_waits_and_drops_the_oldest(valkey_server: ValkeyServer) -> None:
    client = valkey_server.client()
    stream = HintStream(client, capacity=100)
    stream.wrote([(uuid4(), uuid4()) for _ in range(250)])
    assert stream.dropped.value() == 150
    await stream.flush()
    assert stream.sent.value() == 100
    await close(client)


async def test_hints_that_come_within_a_moment_travel_together(valkey: "RedisCluster") -> None:
    hinted = asyncio.Event()

    async def until_all_came(_seconds: float) -> None:
        await hinted.wait()

    stream = HintStream(valkey, pause=until_all_came)
    sending = asyncio.create_task(stream.run())
    try:
        for _ in range(3):
            stream.wrote([(uuid4(), uuid4())])
            await asyncio.sleep(0)
        assert await valkey.xlen(HINT_STREAM) == 0
        hinted.set()
        await until(_sent(stream, 3), "all are sent")
        assert await valkey.xlen(HINT_STREAM) == 1
    finally:
        sending.cancel()


async def test_the_stream_stays_bounded(valkey: "RedisCluster", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "MAX_ENTRIES", 200)
    stream = HintStream(valkey, capacity=64 * 2_000)
    stream.wrote([(uuid4(), uuid4()) for _ in range(64 * 1_000)])
    await stream.flush()
    assert await valkey.xlen(HINT_STREAM) < 400


async def test_what_is_overdue_is_hinted_again_by_one_of_several_instances(
    storage: Storage, valkey: "RedisCluster"
) -> None:
    await storage.written(create("ana"))
    stream = HintStream(valkey)
    sweepers = [
        Sweeper(storage.analysis.overdue, stream, valkey, instance=f"storage-a-{n}", every_seconds=30)
        for n in range(3)
    ]

    async def swept() -> bool:
        return sum([await sweeper.sweep() for sweeper in sweepers]) == 1

    await until(lambda: _again(valkey, swept), "one sweeper of three hints what is overdue", every=0.05)
    await stream.flush()
    assert await valkey.xlen(HINT_STREAM) == 1


async def test_a_lapsed_lease_is_hinted_again(storage: Storage, socket: Path, valkey: "RedisCluster") -> None:
    stream = HintStream(valkey)
    sweeper = Sweeper(storage.analysis.overdue, stream, valkey, instance="storage-a-0", every_seconds=0.05)
    await storage.written(create("ana"))
    assert await storage.claim(lease=timedelta(milliseconds=1))
    sweeping = asyncio.create_task(sweeper.run())
    sending = asyncio.create_task(stream.run())
    async with working(socket, Instant(), ValkeyHints(valkey, "one"), pace=ONLY_HINTS):
        await all_analysed(storage)
    for task in (sweeping, sending):
        task.cancel()
        await asyncio.wait((task,))


def _sent(stream: HintStream, hints: int) -> Callable[[], Awaitable[bool]]:
    async def sent() -> bool:
        return stream.sent.value() == hints

    return sent


def _listens(valkey: "RedisCluster", consumer: str):  # type: ignore[no-untyped-def]
    async def listens() -> bool:
        if not await valkey.exists(HINT_STREAM):
            return False
        return any(
            one["name"] == consumer.encode() for one in await valkey.xinfo_consumers(HINT_STREAM, read.GROUP)
        )

    return listens


async def _again(valkey: "RedisCluster", condition) -> bool:  # type: ignore[no-untyped-def]
    await valkey.delete(Sweeper.KEY)
    return bool(await condition())


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)
