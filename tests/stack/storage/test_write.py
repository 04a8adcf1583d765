"""Promises of the write path, against the real database."""

import asyncio
from uuid import UUID

import pytest

from reverie.storage.v1 import write_pb2
from services.runtime.errors import InvalidArgument, MemoryNotFound
from tests.stack.storage.harness import (
    Context,
    Storage,
    batch,
    columns,
    context,
    create,
    delete,
    memory,
    new_id,
    owner_of,
    update,
)

Status = write_pb2.WriteStatus
WRITTEN = write_pb2.WRITE_STATUS_WRITTEN
ALREADY_THERE = write_pb2.WRITE_STATUS_ALREADY_THERE
OTHER_BODY = write_pb2.WRITE_STATUS_OTHER_BODY
DELETED = write_pb2.WRITE_STATUS_DELETED
ERASED = write_pb2.WRITE_STATUS_ERASED
NOT_FOUND = write_pb2.WRITE_STATUS_NOT_FOUND
ETAG_MISMATCH = write_pb2.WRITE_STATUS_ETAG_MISMATCH
REFUSED = write_pb2.WRITE_STATUS_REFUSED


def statuses(response: write_pb2.WriteBatchResponse) -> list[int]:
    return [result.status for result in response.results]


async def test_a_batch_of_several_owners_is_one_commit(storage: Storage) -> None:
    response = await storage.write(create("ana"), create("ben"), create("ana"))
    assert statuses(response) == [WRITTEN] * 3
    assert len(response.owner_revisions) == 2
    assert len(response.lineage) == 16
    times = await storage.sql("SELECT DISTINCT create_time FROM memories")
    assert [time for (time,) in times] == [response.commit_time.ToMicroseconds()]


async def test_repeated_create_returns_the_first_answer(storage: Storage) -> None:
    first = create("ana", memory("the first", people=["Ben"]))
    (revision,) = await storage.written(first)
    again = await storage.write(first)
    assert statuses(again) == [ALREADY_THERE]
    assert again.results[0].revision == revision
    assert again.results[0].memory == await storage.get("ana", first.id)


async def test_the_same_id_with_another_body_is_told(storage: Storage) -> None:
    first = create("ana", memory("one"))
    await storage.written(first)
    assert statuses(await storage.write(create("ana", memory("two"), first.id))) == [OTHER_BODY]
    assert (await storage.get("ana", first.id)).text == "one"


async def test_one_id_belongs_to_each_owner_separately(storage: Storage) -> None:
    id_ = new_id()
    response = await storage.write(create("ana", memory("hers"), id_), create("ben", memory("his"), id_))
    assert statuses(response) == [WRITTEN, WRITTEN]
    assert (await storage.get("ana", id_)).text == "hers"
    assert (await storage.get("ben", id_)).text == "his"


async def test_two_bodies_under_one_id_at_once_leave_one(storage: Storage) -> None:
    for number in range(20):
        id_ = new_id()
        pair = (create("ana", memory(f"one {number}"), id_), create("ana", memory(f"two {number}"), id_))
        answers = await asyncio.gather(*(storage.write(one) for one in pair))
        assert sorted(status for answer in answers for status in statuses(answer)) == [WRITTEN, OTHER_BODY]


async def test_one_body_twice_at_once_is_written_once(storage: Storage) -> None:
    for _ in range(20):
        one = create("ana")
        answers = await asyncio.gather(storage.write(one), storage.write(one))
        assert sorted(status for answer in answers for status in statuses(answer)) == [WRITTEN, ALREADY_THERE]


async def test_a_batch_has_at_most_one_operation_for_an_id(storage: Storage) -> None:
    id_ = new_id()
    with pytest.raises(InvalidArgument):
        await storage.write(create("ana", memory("one"), id_), create("ana", memory("two"), id_))


async def test_owners_in_opposite_orders_do_not_deadlock(storage: Storage) -> None:
    users = [f"user{number}" for number in range(60)]

    async def writer(order: list[str]) -> None:
        for _ in range(20):
            await storage.written(*(create(user) for user in order))

    await asyncio.gather(*(writer(users if side % 2 else users[::-1]) for side in range(4)))
    ((count,),) = await storage.sql("SELECT count(*) FROM memories")
    assert count == 4 * 20 * len(users)


async def test_an_update_from_the_named_state_changes_the_memory(storage: Storage) -> None:
    one = create("ana", memory("before", labels=["old"]))
    (first,) = await storage.written(one)
    (second,) = await storage.written(update("ana", one.id, first, memory("after", place={"name": "Rome"})))
    found = await storage.get("ana", one.id)
    assert second > first
    assert (found.text, found.place.name, list(found.labels)) == ("after", "Rome", [])
    assert found.revision == second
    assert found.HasField("update_time")


async def test_a_repeated_update_returns_the_memory_as_it_left_it(storage: Storage) -> None:
    one = create("ana")
    (first,) = await storage.written(one)
    change = update("ana", one.id, first, memory("after", labels=["a", 'b"\\,{}'], people=["Ñ"]))
    (second,) = await storage.written(change)
    again = await storage.write(change)
    assert statuses(again) == [ALREADY_THERE]
    assert again.results[0].revision == second
    assert again.results[0].memory.text == "after"


@pytest.mark.parametrize(
    "other",
    [
        memory("else"),
        memory("after", at=1),
        memory("after", labels=["b"]),
        memory("after", people=["Ben"]),
        memory("after", place={"name": "Rome"}),
        memory("after", occurred_utc_offset={"seconds": 3600}),
        memory("after", attachments=[{"object": "x", "media_type": "a/b", "size": 1, "digest": "d"}]),
    ],
)
async def test_another_update_from_an_old_state_is_refused(storage: Storage, other: object) -> None:
    one = create("ana")
    (first,) = await storage.written(one)
    await storage.written(update("ana", one.id, first, memory("after")))
    answer = await storage.write(update("ana", one.id, first, other))  # type: ignore[arg-type]
    assert statuses(answer) == [ETAG_MISMATCH]


async def test_a_deleted_memory_leaves_a_tombstone_without_content(storage: Storage) -> None:
    one = create("ana", memory("secret", labels=["x"], source={"conversation": "c", "speaker": "s"}))
    await storage.written(one)
    await storage.written(delete("ana", one.id))
    with pytest.raises(MemoryNotFound):
        await storage.get("ana", one.id)
    ((row,),) = await storage.sql("SELECT to_jsonb(m) FROM memories m WHERE owner = $1", owner_of("ana"))
    assert "secret" not in row
    kept = await storage.sql(
        "SELECT key FROM memories m, jsonb_each(to_jsonb(m)) WHERE value <> 'null' ORDER BY key"
    )
    assert [key for (key,) in kept] == ["create_time", "delete_time", "id", "owner", "revision"]


async def test_a_repeated_delete_succeeds_and_the_id_stays_taken(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one)
    await storage.written(delete("ana", one.id))
    assert statuses(await storage.write(delete("ana", one.id))) == [ALREADY_THERE]
    assert statuses(await storage.write(one)) == [DELETED]
    assert statuses(await storage.write(update("ana", one.id, 1, memory()))) == [DELETED]


async def test_a_delete_of_another_state_is_refused(storage: Storage) -> None:
    one = create("ana")
    (revision,) = await storage.written(one)
    assert statuses(await storage.write(delete("ana", one.id, revision + 1))) == [ETAG_MISMATCH]
    assert statuses(await storage.write(delete("ana", one.id, revision))) == [WRITTEN]


async def test_unknown_memories_are_told(storage: Storage) -> None:
    answer = await storage.write(delete("ana", new_id()), update("ana", new_id(), 1, memory()))
    assert statuses(answer) == [NOT_FOUND, NOT_FOUND]


async def test_one_batch_holds_every_kind_of_operation(storage: Storage) -> None:
    kept, changed, gone = create("ana"), create("ana"), create("ben")
    revisions = await storage.written(kept, changed, gone)
    answer = await storage.write(
        create("ben"),
        delete("ben", gone.id),
        kept,
        update("ana", changed.id, revisions[1], memory("changed")),
        create("cleo", memory("new")),
    )
    assert statuses(answer) == [WRITTEN, WRITTEN, ALREADY_THERE, WRITTEN, WRITTEN]


async def test_a_row_that_the_database_refuses_fails_alone(storage: Storage) -> None:
    good = [create("ana", memory(f"good {number}")) for number in range(7)]
    bad = create("ben", memory("U+0000 \0 is nothing that the database takes"))
    answer = await storage.write(*good[:3], bad, *good[3:])
    assert statuses(answer) == [WRITTEN] * 3 + [REFUSED] + [WRITTEN] * 4
    assert "22021" in answer.results[3].detail
    assert "nothing that" not in answer.results[3].detail
    assert len((await storage.timeline("ana")).memories) == 7


async def test_each_part_of_a_batch_says_when_it_was_committed(storage: Storage) -> None:
    good = [create("ana", memory(f"good {number}")) for number in range(7)]
    answer = await storage.write(*good[:3], create("ben", memory("\0")), *good[3:])
    told = [
        result.commit_time if result.HasField("commit_time") else answer.commit_time
        for result in (*answer.results[:3], *answer.results[4:])
    ]
    assert told == [(await storage.get("ana", one.id)).create_time for one in good]
    assert len({time.ToMicroseconds() for time in told}) > 1
    whole = await storage.write(create("ana"))
    assert not whole.results[0].HasField("commit_time")


async def test_an_id_of_a_year_without_a_partition_is_refused(storage: Storage) -> None:
    far = create("ana", id_=UUID(int=(4_000_000_000_000 << 80) | (7 << 76) | (2 << 62)))
    assert statuses(await storage.write(far, create("ana"))) == [REFUSED, WRITTEN]


async def test_an_erased_owner_is_written_no_more(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one)
    await storage.sql("UPDATE owners SET erase_time = now() WHERE owner = $1", owner_of("ana"))
    answer = await storage.write(one, create("ana"), create("ben"), delete("ana", new_id()))
    assert statuses(answer) == [ERASED, ERASED, WRITTEN, ERASED]
    with pytest.raises(MemoryNotFound):
        await storage.get("ana", one.id)
    assert not (await storage.timeline("ana")).memories


async def test_only_what_was_written_is_hinted(storage: Storage) -> None:
    one, two, three = create("ana"), create("ana"), create("ana")
    (first, *_) = await storage.written(one, two, three)
    storage.hints.keys.clear()
    await storage.write(
        one, delete("ana", two.id), update("ana", three.id, first, memory()), create("ben", id_=two.id)
    )
    assert storage.hints.keys == [(owner_of("ana"), three.id), (owner_of("ben"), two.id)]


async def test_who_does_not_ask_for_brevity_gets_results(storage: Storage) -> None:
    answer = await storage.writes.WriteBatch(columns(create("ana"), create("ana")), context(Context()))
    assert statuses(answer) == [WRITTEN, WRITTEN]
    assert not answer.all_written


async def test_operations_are_never_answered_in_brief(storage: Storage) -> None:
    request = batch(create("ana"), create("ana"))
    request.brief = True
    answer = await storage.writes.WriteBatch(request, context(Context()))
    assert statuses(answer) == [WRITTEN, WRITTEN]
    assert not answer.all_written


async def test_shapes_that_are_wrong_are_all_named(storage: Storage) -> None:
    request = batch(create("ana"), create("ana"))
    request.owners[0].owner = b"short"
    request.operations[0].id = b"short"
    request.operations[1].owner_index = 7
    with pytest.raises(InvalidArgument) as wrong:
        await storage.writes.WriteBatch(request, None)  # type: ignore[arg-type]
    assert [field for field, _ in wrong.value.violations] == [
        "owners[0]",
        "operations[0].id",
        "operations[1].owner_index",
    ]
