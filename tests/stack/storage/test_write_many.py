"""Promises of creates by the hundred: what they are told is what operations would be."""

import asyncio

import pytest

from reverie.storage.v1 import write_pb2
from services.runtime.errors import MemoryNotFound
from services.storage.write import HINTS_OF_MANY
from tests.stack.storage.harness import Storage, create, delete, memory, new_id, owner_of

WRITTEN = write_pb2.WRITE_STATUS_WRITTEN
ALREADY_THERE = write_pb2.WRITE_STATUS_ALREADY_THERE
OTHER_BODY = write_pb2.WRITE_STATUS_OTHER_BODY
DELETED = write_pb2.WRITE_STATUS_DELETED
ERASED = write_pb2.WRITE_STATUS_ERASED
REFUSED = write_pb2.WRITE_STATUS_REFUSED


def statuses(response: write_pb2.WriteBatchResponse) -> list[int]:
    return [result.status for result in response.results]


@pytest.mark.parametrize("users", [("ana",), ("ana", "ben")])
async def test_creates_that_are_all_written_are_answered_in_brief(
    storage: Storage, users: tuple[str, ...]
) -> None:
    creates = [create(user) for user in users * 3]
    answer = await storage.write_brief(*creates)
    assert answer.all_written
    assert not answer.results
    assert len(answer.lineage) == 16
    for one in creates:
        found = await storage.get(one.user, one.id)
        assert found.revision == answer.owner_revisions[users.index(one.user)]
        assert found.create_time == answer.commit_time
    assert storage.hints.keys == [(owner_of(one.user), one.id) for one in creates]
    assert {each.key.id for each in await storage.claim()} == {one.id.bytes for one in creates}


async def test_each_batch_of_an_owner_has_a_later_revision(storage: Storage) -> None:
    revisions = [(await storage.write_brief(create("ana"))).owner_revisions[0] for _ in range(3)]
    assert revisions == sorted({*revisions})


async def test_what_is_sent_again_is_there_already_and_due_once(storage: Storage) -> None:
    creates = [create("ana") for _ in range(3)]
    first = await storage.write_brief(*creates)
    again = await storage.write_brief(create("ana"), *creates, create("ana"))
    assert statuses(again) == [WRITTEN, ALREADY_THERE, ALREADY_THERE, ALREADY_THERE, WRITTEN]
    assert not again.all_written
    assert again.results[1].revision == first.owner_revisions[0]
    assert again.results[0].revision == again.owner_revisions[0] > first.owner_revisions[0]
    assert len(await storage.claim()) == 5


async def test_ids_that_hold_something_else_are_told(storage: Storage) -> None:
    other, gone = create("ana", memory("one")), create("ana")
    await storage.written(other, gone)
    await storage.written(delete("ana", gone.id))
    answer = await storage.write_brief(create("ana", memory("two"), other.id), gone, create("ana"))
    assert statuses(answer) == [OTHER_BODY, DELETED, WRITTEN]
    assert (await storage.get("ana", other.id)).text == "one"


async def test_an_id_of_another_owner_is_in_nobodys_way(storage: Storage) -> None:
    one = create("ben")
    await storage.written(one)
    assert (await storage.write_brief(create("ana", id_=one.id), create("ana"))).all_written


async def test_many_twice_at_once_are_written_once(storage: Storage) -> None:
    for _ in range(20):
        creates = [create("ana") for _ in range(4)]
        answers = await asyncio.gather(storage.write_brief(*creates), storage.write_brief(*creates))
        assert sorted(answer.all_written for answer in answers) == [False, True]
        (late,) = (answer for answer in answers if not answer.all_written)
        assert statuses(late) == [ALREADY_THERE] * 4


async def test_a_row_that_the_database_refuses_fails_alone(storage: Storage) -> None:
    answer = await storage.write_brief(create("ana"), create("ana", memory("\0")), create("ana"))
    assert statuses(answer) == [WRITTEN, REFUSED, WRITTEN]
    assert not answer.all_written


async def test_an_erased_owner_gets_nothing_more(storage: Storage) -> None:
    await storage.written(create("ana"))
    await storage.sql("UPDATE owners SET erase_time = now() WHERE owner = $1", owner_of("ana"))
    late = create("ana", id_=new_id())
    assert statuses(await storage.write_brief(late, create("ana"))) == [ERASED, ERASED]
    with pytest.raises(MemoryNotFound):
        await storage.get("ana", late.id)


async def test_of_many_some_are_hinted_and_all_are_due(storage: Storage) -> None:
    creates = [create("ana") for _ in range(2 * HINTS_OF_MANY)]
    await storage.write_brief(*creates)
    assert storage.hints.keys == [(owner_of("ana"), one.id) for one in creates[:HINTS_OF_MANY]]
    assert len(await storage.claim()) == len(creates)
