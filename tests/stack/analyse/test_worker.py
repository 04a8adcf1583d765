"""Promises of workers: what is due is analysed, once, whatever happens to whom."""

import asyncio
from datetime import timedelta
from pathlib import Path

from services.analyse.planner import Pace
from tests.stack.analyse.workers import Held, Instant, all_analysed, holds, vectors, working
from tests.stack.servers import until
from tests.stack.storage.harness import Storage, create, delete, memory, owner_of, update


async def test_a_backlog_of_many_owners_is_worked_off_in_batches(storage: Storage, socket: Path) -> None:
    for start in range(0, 300, 100):
        await storage.written(*(create(f"u{n % 7}", memory(f"{n}")) for n in range(start, start + 100)))
    stage = Instant()
    async with working(socket, stage) as worker:
        await all_analysed(storage)
        await until(holds(lambda: worker.numbers.attached.value() == 300), "the worker counts 300")
    assert await vectors(storage) == 300
    assert sorted(map(int, stage.seen)) == list(range(300))
    assert max(stage.batches) > 50


async def test_one_poison_memory_fails_alone_and_dies_with_its_cause(storage: Storage, socket: Path) -> None:
    poison = create("ana", memory("this is poison"))
    await storage.written(poison, *(create("ana", memory(f"{n}")) for n in range(5)))
    stage = Instant()
    async with working(socket, stage):
        await all_analysed(storage)
    assert sorted(stage.seen) == ["0", "1", "2", "3", "4"]
    (letter,) = (await storage.dead_letters()).dead_letters
    assert letter.name.endswith(f"users/ana/memories/{poison.id}/analyses/embed.1")
    assert letter.attempts == 3
    assert letter.first_error == letter.last_error
    assert letter.first_error.startswith("ValueError at workers.py:")
    assert "poison" not in letter.first_error


async def test_a_replayed_dead_letter_is_analysed(storage: Storage, socket: Path) -> None:
    await storage.written(create("ana", memory("poison")))
    async with working(socket, Instant()):
        await all_analysed(storage)

    assert await storage.replay(all=True) == 1
    async with working(socket, Instant(poison="nothing is")):
        await all_analysed(storage)
    assert await vectors(storage) == 1
    assert not (await storage.dead_letters()).dead_letters


async def test_two_workers_never_attach_twice(storage: Storage, socket: Path) -> None:
    await storage.written(*(create("ana", memory(f"{n}")) for n in range(40)))
    slow, quick = Held(), Instant()
    # The first worker's lease runs out while it works: both do the same work.
    async with working(socket, slow, lease=timedelta(milliseconds=1)) as first:
        await asyncio.to_thread(slow.begun.wait, 10)
        async with working(socket, quick) as second:
            await all_analysed(storage)
            slow.go.set()
            await until(holds(lambda: first.numbers.gone.value() > 0), "the late results are dropped")
            assert second.numbers.attached.value() + first.numbers.attached.value() == 40
    assert await vectors(storage) == 40


async def test_a_result_for_content_that_changed_meanwhile_is_dropped(storage: Storage, socket: Path) -> None:
    changed, gone = create("ana", memory("old")), create("ana", memory("gone"))
    revision, _ = await storage.written(changed, gone)
    stage = Held()
    async with working(socket, stage) as worker:
        await asyncio.to_thread(stage.begun.wait, 10)
        await storage.written(update("ana", changed.id, revision, memory("new")), delete("ana", gone.id))
        stage.go.set()
        await all_analysed(storage)
        await until(holds(lambda: worker.numbers.gone.value() == 2), "both results are dropped")
    assert await vectors(storage) == 1
    assert sorted(stage.seen) == ["gone", "new", "old"]


async def test_stopping_attaches_what_is_under_way(storage: Storage, socket: Path) -> None:
    await storage.written(create("ana"))
    stage = Held()
    async with working(socket, stage) as worker:
        await asyncio.to_thread(stage.begun.wait, 10)
        worker.stop()
        stage.go.set()
    assert await vectors(storage) == 1


async def test_memories_tried_before_are_worked_on_one_by_one(storage: Storage, socket: Path) -> None:
    await storage.written(*(create("ana", memory(f"{n}")) for n in range(6)))
    assert len(await storage.claim(lease=timedelta(milliseconds=1))) == 6
    stage = Instant()
    async with working(socket, stage):
        await all_analysed(storage)
    assert stage.batches == [1] * 6


async def test_a_worker_waits_for_storage_and_goes_on(storage: Storage, socket: Path) -> None:
    elsewhere = socket.with_name("later.sock")
    await storage.written(create("ana"))
    pace = Pace(poll_seconds=0.02, backoff_seconds=0.01, max_backoff_seconds=0.02)
    async with working(elsewhere, Instant(), pace=pace):
        await asyncio.to_thread(elsewhere.symlink_to, socket)
        await all_analysed(storage)
    assert await vectors(storage) == 1


async def test_what_an_erased_user_left_due_is_not_worked_on(storage: Storage, socket: Path) -> None:
    await storage.written(create("ana", memory("of ana")), create("ben", memory("of ben")))
    await storage.sql("UPDATE owners SET erase_time = now() WHERE owner = $1", owner_of("ana"))
    stage = Instant()
    async with working(socket, stage):

        async def bens() -> bool:
            return await vectors(storage) == 1

        await until(bens, "ben's memory is analysed")
    assert stage.seen == ["of ben"]
