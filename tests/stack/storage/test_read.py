"""Promises of reading, against the real database."""

from typing import Any
from uuid import UUID

import pytest

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import read_pb2
from services.runtime import names
from services.runtime.errors import (
    InvalidArgument,
    MemoryNotFound,
    StalePrimary,
    TokenInvalid,
    UserForbidden,
)
from services.runtime.tokens import ConsistencyToken
from services.storage import timeline
from tests.stack.storage.harness import (
    Context,
    Operation,
    Storage,
    context,
    create,
    delete,
    enter,
    memory,
    new_id,
    owner_of,
)

OLDEST_FIRST = read_pb2.TIMELINE_ORDER_OLDEST_FIRST
FULL, BASIC = memory_pb2.MEMORY_VIEW_FULL, memory_pb2.MEMORY_VIEW_BASIC


async def filled(storage: Storage, count: int = 25) -> list[Operation]:
    """Memories of Ana, each a minute after the one before; every fifth together with the next."""
    made = [create("ana", memory(f"number {at}", at=60 * (at - (at % 5 == 1)))) for at in range(count)]
    await storage.written(*made)
    return made


async def pages(storage: Storage, **more: Any) -> list[list[str]]:
    """The texts of all pages."""
    found, token = [], ""
    while True:
        page = await storage.timeline("ana", page_token=token, **more)
        found.append([one.text for one in page.memories])
        token = page.next_page_token
        if not token:
            return found


async def test_every_memory_is_on_exactly_one_page(storage: Storage) -> None:
    made = await filled(storage)
    newest = await pages(storage, page_size=7)
    assert [len(page) for page in newest] == [7, 7, 7, 4]
    oldest = await pages(storage, page_size=10, order=OLDEST_FIRST)
    assert [text for page in newest for text in page] == [text for page in oldest for text in page][::-1]
    assert len({text for page in newest for text in page}) == len(made)


async def test_the_last_page_has_no_token_when_it_is_full(storage: Storage) -> None:
    await filled(storage, 10)
    assert [len(page) for page in await pages(storage, page_size=5)] == [5, 5]


@pytest.mark.parametrize("order", [OLDEST_FIRST, read_pb2.TIMELINE_ORDER_NEWEST_FIRST])
async def test_a_page_ends_before_it_is_too_large_to_be_sent(storage: Storage, order: Any) -> None:
    longest = "\N{CAT}" * 8_192
    made = [create("ana", memory(longest, at=at)) for at in range(160)]
    await storage.written(*made)
    listed: list[str] = []
    token, sizes = "", []
    while True:
        page = await storage.timeline("ana", page_size=200, order=order, page_token=token)
        assert page.ByteSize() <= timeline.PAGE_BYTES + 1_000
        listed += [one.name for one in page.memories]
        sizes.append(len(page.memories))
        token = page.next_page_token
        if not token:
            break
    assert sizes == [127, 33]
    named = [names.memory_name("ana", one.id) for one in made]
    assert listed == (named if order == OLDEST_FIRST else named[::-1])


async def test_an_erased_user_has_no_page_after_the_first(storage: Storage) -> None:
    await filled(storage, 10)
    await storage.sql("UPDATE owners SET erase_time = now() WHERE owner = $1", owner_of("ana"))
    page = await storage.timeline("ana", page_size=5)
    assert (len(page.memories), page.next_page_token) == (0, "")


async def test_what_is_written_meanwhile_moves_no_memory_to_another_page(storage: Storage) -> None:
    await filled(storage, 10)
    first = await storage.timeline("ana", page_size=5)
    await storage.written(create("ana", memory("newer", at=10_000)))
    second = await storage.timeline("ana", page_size=5, page_token=first.next_page_token)
    assert [one.text for one in second.memories] == [f"number {at}" for at in (4, 3, 2, 1, 0)]


async def test_a_time_range_holds_its_start_and_not_its_end(storage: Storage) -> None:
    await storage.written(*(create("ana", memory(str(at), at=at)) for at in range(6)))
    span = {"start_time": {"seconds": 1_700_000_001}, "end_time": {"seconds": 1_700_000_004}}
    found = await storage.timeline("ana", time_range=span)
    assert [one.text for one in found.memories] == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({"kinds": [memory_pb2.MEMORY_KIND_PHOTO, memory_pb2.MEMORY_KIND_EVENT]}, ["photo"]),
        ({"labels": ["a", "b"]}, ["labels"]),
        ({"labels": ["a"]}, ["one label", "labels"]),
        ({"people": ["Ana"]}, ["people"]),
        ({"people": ["ana"]}, []),
        ({"speaker": "Ben"}, ["turn"]),
        ({"conversation": "c1"}, ["turn"]),
        ({"conversation": "c1", "speaker": "Ana"}, []),
    ],
)
async def test_a_filter_lets_through_what_meets_all_of_it(
    storage: Storage, only: dict[str, object], expected: list[str]
) -> None:
    await storage.written(
        create("ana", memory("note", kind=memory_pb2.MEMORY_KIND_NOTE)),
        create("ana", memory("photo", kind=memory_pb2.MEMORY_KIND_PHOTO)),
        create("ana", memory("labels", labels=["b", "a", "c"])),
        create("ana", memory("one label", labels=["a"])),
        create("ana", memory("people", people=["Ben", "Ana"])),
        create("ana", memory("turn", source={"conversation": "c1", "speaker": "Ben", "position": 3})),
    )
    found = await storage.timeline("ana", filter=only)
    assert [one.text for one in found.memories] == expected


async def test_a_batch_is_in_the_order_of_the_request_and_names_what_is_missing(storage: Storage) -> None:
    made = await filled(storage, 4)
    await storage.written(delete("ana", made[2].id))
    wanted = [names.memory_name("ana", id_) for id_ in (made[3].id, new_id(), made[2].id, made[0].id)]
    enter("ana")
    found = await storage.reads.BatchGetMemories(
        read_pb2.BatchGetMemoriesRequest(parent="users/ana", names=wanted, view=FULL), context(Context())
    )
    assert [one.name for one in found.memories] == [wanted[0], wanted[3]]
    assert list(found.missing) == wanted[1:3]


async def test_what_is_not_there_and_what_is_anothers_look_alike(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one)
    said = []
    for user, id_ in (("ana", new_id()), ("ben", one.id)):
        with pytest.raises(MemoryNotFound) as missing:
            await storage.get(user, id_)
        said.append(str(missing.value))
    assert said[0] == said[1]


async def test_another_user_is_refused_before_any_look_up(storage: Storage) -> None:
    enter("ben")
    request = read_pb2.GetMemoryRequest(name=names.memory_name("ana", new_id()))
    with pytest.raises(UserForbidden):
        await storage.reads.GetMemory(request, context(Context()))


async def test_the_full_view_shows_what_analysis_found_and_the_basic_one_does_not(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one, create("ana"))
    (due,) = await storage.claim(hints=[(owner_of("ana"), one.id)], limit=1)
    await storage.attach(due)
    full = await storage.get("ana", one.id)
    (result,) = full.analysis
    assert (result.stage, result.model, result.embedding.dimensions) == ("embed", "minilm", 384)
    assert result.revision > full.revision
    assert not (await storage.get("ana", one.id, view=BASIC)).analysis
    listed = await storage.timeline("ana", view=FULL)
    assert sorted(len(found.analysis) for found in listed.memories) == [0, 1]
    assert not any(found.analysis for found in (await storage.timeline("ana")).memories)


async def test_analysis_state_counts_what_is_due(storage: Storage) -> None:
    await storage.written(create("ana"), create("ana"), create("ben"))
    (due,) = await storage.claim(limit=1, hints=[])
    await storage.attach(due)
    total = 0
    for user in ("ana", "ben"):
        enter(user)
        request = read_pb2.GetAnalysisStateRequest(parent=names.user_name(user))
        state = await storage.reads.GetAnalysisState(request, context(Context()))
        assert state.HasField("oldest_due_time") == (state.due > 0)
        total += state.due
    assert total == 2


async def test_an_answer_carries_a_token_that_the_next_read_satisfies(storage: Storage) -> None:
    one = create("ana")
    (revision,) = await storage.written(one)
    enter("ana")
    call = Context()
    request = read_pb2.GetMemoryRequest(name=names.memory_name("ana", one.id))
    await storage.reads.GetMemory(request, context(call))
    assert storage.tokens.parse_consistency(call.token)[1:] == (owner_of("ana"), revision)
    assert await storage.get("ana", one.id, call.token)


async def token(storage: Storage, user: str = "ana", later: int = 1, lineage: bytes | None = None) -> str:
    """A token of a state `later` than the user's."""
    ((revision, own),) = await storage.sql(
        "SELECT revision, lineage FROM owners, meta WHERE owner = $1", owner_of(user)
    )
    return storage.tokens.consistency(
        ConsistencyToken(own if lineage is None else lineage, owner_of(user), revision + later)
    )


async def test_a_primary_that_is_behind_the_token_does_not_answer(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one)
    assert await storage.get("ana", one.id, await token(storage, later=0))
    ahead = await token(storage, later=1)
    with pytest.raises(StalePrimary):
        await storage.get("ana", one.id, ahead)
    with pytest.raises(StalePrimary):
        await storage.timeline("ana", ahead)


async def test_a_token_of_an_older_timeline_binds_a_newer_one_not(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one)
    ((revision, lineage),) = await storage.sql("SELECT revision, lineage FROM owners, meta")
    old = ConsistencyToken(lineage, owner_of("ana"), revision - (1 << 40) + 100)
    await storage.sql("UPDATE owners SET revision = 1")
    assert await storage.get("ana", one.id, storage.tokens.consistency(old))


async def test_tokens_of_another_history_or_owner_ask_for_nothing(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one, create("ben"))
    assert await storage.get("ana", one.id, await token(storage, lineage=b"another history."))
    assert await storage.get("ana", one.id, await token(storage, user="ben"))


async def test_a_forged_token_is_refused(storage: Storage) -> None:
    with pytest.raises(TokenInvalid):
        await storage.timeline("ana", "AQExZm9yZ2VkIQ")


async def test_page_tokens_of_another_request_or_owner_are_refused(storage: Storage) -> None:
    await filled(storage, 4)
    page = (await storage.timeline("ana", page_size=2)).next_page_token
    assert (await storage.timeline("ana", page_size=3, page_token=page)).memories
    with pytest.raises(TokenInvalid):
        await storage.timeline("ana", page_token=page, order=OLDEST_FIRST)
    with pytest.raises(TokenInvalid):
        await storage.timeline("ana", page_token=page, filter={"speaker": "x"})
    with pytest.raises(TokenInvalid):
        await storage.timeline("ben", page_token=page)
    with pytest.raises(TokenInvalid):
        await storage.timeline("ana", page_token=page[:-2] + ("AA" if page[-2:] != "AA" else "BB"))
    with pytest.raises(TokenInvalid):
        await storage.timeline("ana", page_token=await token(storage))


async def test_a_page_is_never_older_than_the_one_before(storage: Storage) -> None:
    await filled(storage, 4)
    page = (await storage.timeline("ana", page_size=2)).next_page_token
    await storage.sql("UPDATE owners SET revision = revision - 1")
    with pytest.raises(StalePrimary):
        await storage.timeline("ana", page_size=2, page_token=page)


async def test_every_broken_field_of_a_list_is_named(storage: Storage) -> None:
    with pytest.raises(InvalidArgument) as wrong:
        await storage.timeline(
            "ana",
            page_size=-1,
            order=9,
            filter={"kinds": [0], "labels": ["x" * 65, "\0"], "speaker": "y" * 129},
            time_range={"start_time": {"seconds": 5}, "end_time": {"seconds": 4}},
        )
    assert {field for field, _ in wrong.value.violations} == {
        "page_size", "order", "filter.kinds[0]", "filter.labels[0]", "filter.labels[1]", "filter.speaker",
        "time_range.end_time",
    }  # fmt: skip


async def test_an_unknown_user_has_an_empty_timeline(storage: Storage) -> None:
    assert await storage.timeline("nobody") == read_pb2.ListMemoriesResponse()
    with pytest.raises(MemoryNotFound):
        await storage.get("nobody", UUID(int=0))
