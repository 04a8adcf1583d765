"""Revisions of one owner, seen by a reader beside many writers."""

import asyncio
import random
from uuid import UUID

from tests.stack.storage.harness import Storage, create, delete, memory, owner_of, update

WRITERS = 16
ROUNDS = 12

_CHANGES = """
SELECT o.revision, m.id, m.revision FROM owners o
LEFT JOIN memories m ON m.owner = $1 AND m.revision > $2 WHERE o.owner = $1
"""
_WHOLE = "SELECT m.id, m.revision FROM memories m WHERE m.owner = $1"


async def test_nothing_appears_below_a_revision_that_was_seen(storage: Storage) -> None:
    """So whoever follows the changes of an owner from revision to revision misses none."""
    owner = owner_of("ana")
    await storage.written(create("ana"))
    done = asyncio.Event()
    state: dict[UUID, int] = {}
    polls = 0

    async def reader() -> None:
        nonlocal polls
        seen = 0
        while True:
            last = done.is_set()
            rows = await storage.database.read.fetch(_CHANGES, owner, seen)
            now = rows[0][0]
            assert now >= seen, "the owner's revision fell"
            changed = {row[1]: row[2] for row in rows if row[1] is not None}
            assert all(seen < revision <= now for revision in changed.values())
            state.update(changed)
            seen, polls = now, polls + 1
            if last:
                return

    async def writer(number: int) -> None:
        chance = random.Random(number)
        mine: list[tuple[UUID, int]] = []
        for at in range(ROUNDS):
            if mine and chance.random() < 0.4:
                id_, revision = mine.pop()
                text = memory(f"changed {at}")
                change = update("ana", id_, revision, text) if at % 2 else delete("ana", id_)
                await storage.written(change, create(f"other {number}"))
            else:
                one = create("ana", memory(f"{number} {at}"))
                (revision, _) = await storage.written(one, create(f"other {number}"))
                mine.append((one.id, revision))

    reading = asyncio.ensure_future(reader())
    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    done.set()
    await reading
    assert polls > 5
    assert state == {row[0]: row[1] for row in await storage.database.read.fetch(_WHOLE, owner)}


async def test_a_write_under_an_older_timeline_never_outranks_a_newer_one(storage: Storage) -> None:
    """The first revision of a timeline lies above all of those before it."""
    (first,) = await storage.written(create("ana"))
    ((floor,),) = await storage.database.read.fetch("SELECT revision_floor_v1()")
    assert floor == first >> 40 << 40
    assert first > floor > 0
