"""Promises of search, against the real database."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import search_pb2
from services.runtime import principal
from services.runtime.errors import InvalidArgument, StalePrimary, TokenInvalid, UserForbidden
from services.runtime.terms import question_terms
from services.runtime.tokens import ConsistencyToken
from services.storage import answering, queries
from services.storage.database import Database
from tests.stack.search.harness import Search, attach_all, axis, create, texts, turn, update
from tests.stack.storage.harness import Storage, delete, owner_of


async def test_a_memory_is_found_by_its_words_as_soon_as_it_is_written(
    storage: Storage, search: Search
) -> None:
    await storage.written(create("ana", "I adopted a cat."), create("ana", "It rained."))
    response = await search.ask("ana", "which cats?")
    assert texts(response.hits) == ["I adopted a cat."]
    hit = response.hits[0]
    assert hit.lexical_rank == 1
    assert hit.vector_rank == 0
    assert len(hit.matched_terms) == 1
    assert hit.score == pytest.approx(hit.words_score)


async def test_a_memory_is_found_by_meaning_once_it_has_a_vector(storage: Storage, search: Search) -> None:
    near = create("ana", "About the sea.")
    await storage.written(near, create("ana", "About tax."))
    (due, other) = sorted(await storage.claim(), key=lambda one: one.key.id != near.id.bytes)
    await storage.attach(due, vector=axis(1))
    await storage.attach(other, vector=axis(2))
    await search.warm("ana")
    response = await search.ask("ana", "", axis(1))
    assert texts(response.hits) == ["About the sea.", "About tax."]
    assert [hit.vector_rank for hit in response.hits] == [1, 2]
    assert response.hits[0].meaning_score == pytest.approx(16, abs=0.05)


async def test_a_search_never_shows_a_deleted_memory(storage: Storage, search: Search) -> None:
    gone = create("ana", "A secret cat.")
    await storage.written(gone, create("ana", "An open cat."))
    await attach_all(storage)
    await search.warm("ana")
    await storage.written(delete("ana", gone.id))
    response = await search.ask("ana", "cat", axis(0))
    assert texts(response.hits) == ["An open cat."]
    assert response.warm


async def test_a_write_between_ranking_and_reading_makes_the_search_look_again(
    storage: Storage, search: Search, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = create("ana", "A secret cat.")
    await storage.written(gone, create("ana", "An open cat."))
    await attach_all(storage)
    await search.warm("ana")
    fetch = database.search.fetch

    async def fetch_late(query: str, *arguments: Any) -> list[Any]:
        if query == queries.text("search_hits"):
            monkeypatch.setattr(database.search, "fetch", fetch)
            await storage.written(delete("ana", gone.id))
        return await fetch(query, *arguments)

    monkeypatch.setattr(database.search, "fetch", fetch_late)
    response = await search.ask("ana", "cat", axis(0))
    assert database.search.fetch == fetch, "the search read its memories outside of a snapshot"
    assert texts(response.hits) == ["An open cat."]
    (state,) = await storage.sql("SELECT revision FROM owners WHERE owner = $1", owner_of("ana"))
    assert response.revision == state["revision"]


async def test_a_search_of_what_is_in_memory_takes_one_statement(
    storage: Storage, search: Search, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.written(create("ana", "A cat."))
    await attach_all(storage)
    await search.warm("ana")
    fetch, statements = database.search.fetch, []

    async def fetch_counted(query: str, *arguments: Any) -> list[Any]:
        statements.append(query)
        return await fetch(query, *arguments)

    monkeypatch.setattr(database.search, "fetch", fetch_counted)
    assert texts((await search.ask("ana", "cat", axis(0))).hits) == ["A cat."]
    assert statements == [queries.text("search_hits")]


async def test_a_search_that_finds_nothing_in_memory_looks_whether_that_is_all(
    storage: Storage, search: Search
) -> None:
    await storage.written(create("ana", "A cat."))
    await attach_all(storage)
    await search.warm("ana")
    assert not (await search.ask("ana", "dog", filter={"kinds": [3]})).hits
    await storage.written(create("ana", "A dog.", kind=3))
    assert texts((await search.ask("ana", "dog", filter={"kinds": [3]})).hits) == ["A dog."]


async def test_an_owner_who_had_nothing_left_is_looked_at_again(storage: Storage, search: Search) -> None:
    gone = create("ana", "A cat.")
    await storage.written(gone)
    await attach_all(storage)
    await search.warm("ana")
    await storage.written(delete("ana", gone.id))
    for _ in range(2):
        assert not (await search.ask("ana", "cat", axis(0))).hits
    await storage.written(create("ana", "Another cat."))
    assert texts((await search.ask("ana", "cat", axis(0))).hits) == ["Another cat."]


async def test_an_owner_who_is_erased_is_not_answered_from_memory(storage: Storage, search: Search) -> None:
    await storage.written(create("ana", "A cat."))
    await attach_all(storage)
    await search.warm("ana")
    await storage.sql("UPDATE owners SET erase_time = now() WHERE owner = $1", owner_of("ana"))
    assert not (await search.ask("ana", "cat", axis(0))).hits


async def test_a_page_ends_where_an_answer_would_grow_too_large(
    storage: Storage, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "PAGE_BYTES", 10_000)
    await storage.written(*(create("ana", f"cat {n} " + "x" * 4_000) for n in range(5)))
    pages = [await search.ask("ana", "cat")]
    while pages[-1].next_page_token:
        pages.append((await search.raw("ana", page_token=pages[-1].next_page_token))[0])
    assert [len(page.hits) for page in pages] == [2, 2, 1]
    assert len({hit.memory.name for page in pages for hit in page.hits}) == 5


async def test_an_updated_memory_is_found_by_its_new_words_alone(storage: Storage, search: Search) -> None:
    changed = create("ana", "A cat.")
    (revision,) = await storage.written(changed)
    await search.warm("ana")
    await storage.written(update("ana", changed.id, revision, "A dog."))
    assert texts((await search.ask("ana", "dog")).hits) == ["A dog."]
    assert not (await search.ask("ana", "cat")).hits


async def test_the_parts_of_a_score_add_up_to_it(storage: Storage, search: Search) -> None:
    await storage.written(
        create("ana", "Shall we see the cat last week?", source=turn("c", 1, "Ben")),
        create("ana", "A cat", source=turn("c", 2, "Cleo")),
    )
    await attach_all(storage)
    for _ in range(2):
        for hit in (await search.ask("ana", "cat", axis(3), ["Ben"])).hits:
            parts = hit.words_score + hit.meaning_score + hit.speaker_score + hit.time_score + hit.prior_score
            assert hit.score == pytest.approx(parts)
        await search.warm("ana")


async def test_a_named_speaker_counts(storage: Storage, search: Search) -> None:
    await storage.written(
        create("ana", "My cat sleeps.", source=turn("c", 1, "Ben")),
        create("ana", "My cat sleeps.", source=turn("d", 1, "Cleo")),
    )
    response = await search.ask("ana", "cat", speakers=["Cleo"])
    assert [hit.memory.source.speaker for hit in response.hits] == ["Cleo", "Ben"]
    assert response.hits[0].speaker_score > 0


async def test_speakers_are_told_before_hits_are(storage: Storage, search: Search) -> None:
    await storage.written(
        create("ana", "A cat.", source=turn("c", 1, "Ben")), create("ana", "A note on cats.")
    )
    question = search_pb2.Question(terms=[1])
    response, _ = await search.raw("ana", question=question)
    assert list(response.speakers.names) == ["Ben"]
    assert not response.hits
    again, _ = await search.raw("ana", question=question, speakers_digest=response.speakers.digest)
    assert not again.HasField("speakers")
    await storage.written(create("ana", "Hello.", source=turn("c", 2, "Cleo")))
    changed, _ = await search.raw("ana", question=question, speakers_digest=response.speakers.digest)
    assert list(changed.speakers.names) == ["Ben", "Cleo"]


async def test_an_owner_without_speakers_is_answered_at_once(storage: Storage, search: Search) -> None:
    await storage.written(create("ana", "A cat."))
    response, _ = await search.raw("ana", question=search_pb2.Question(terms=[1]))
    assert not response.HasField("speakers")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"filter": {"kinds": [memory_pb2.MEMORY_KIND_PHOTO]}}, "photo"),
        ({"filter": {"labels": ["home", "pet"]}}, "labels"),
        ({"filter": {"people": ["Ben"]}}, "people"),
        ({"filter": {"speaker": "Cleo"}}, "speaker"),
        ({"filter": {"conversation": "c7"}}, "speaker"),
        ({"time_range": {"start_time": {"seconds": 1_700_000_500}}}, "late"),
        ({"time_range": {"end_time": {"seconds": 1_699_999_999}}}, "early"),
    ],
)
async def test_filters_let_through_what_meets_them(
    storage: Storage, search: Search, fields: dict[str, Any], expected: str
) -> None:
    await storage.written(
        create("ana", "cat photo", kind=memory_pb2.MEMORY_KIND_PHOTO),
        create("ana", "cat labels", labels=["pet", "home", "x"]),
        create("ana", "cat one label", labels=["pet"]),
        create("ana", "cat people", people=["Ben", "Dora"]),
        create("ana", "cat speaker", source=turn("c7", 1, "Cleo")),
        create("ana", "cat late", at=1_000),
        create("ana", "cat early", at=-1_000),
    )
    for _ in range(2):
        response = await search.ask("ana", "cat", **fields)
        assert texts(response.hits) == [f"cat {expected}"]
        await search.warm("ana")


async def test_neighbours_come_from_the_same_conversation_in_its_order(
    storage: Storage, search: Search
) -> None:
    turns = [create("ana", f"turn {n}", source=turn("c", n, "Ben")) for n in range(6)]
    await storage.written(*reversed(turns), create("ana", "turn elsewhere", source=turn("d", 3, "Ben")))
    response = await search.ask("ana", "3", neighbors_before=2, neighbors_after=10)
    hit = next(hit for hit in response.hits if hit.memory.text == "turn 3")
    assert [one.text for one in hit.before] == ["turn 1", "turn 2"]
    assert [one.text for one in hit.after] == ["turn 4", "turn 5"]


async def test_pages_show_every_hit_once_in_order(storage: Storage, search: Search) -> None:
    await storage.written(*(create("ana", f"cat {'x ' * n}", at=n) for n in range(45)))
    await attach_all(storage)
    await search.warm("ana")
    whole = await search.ask("ana", "cat", axis(5), page_size=100)
    page = await search.ask("ana", "cat", axis(5), page_size=20)
    found = list(page.hits)
    while page.next_page_token:
        page, _ = await search.raw("ana", page_token=page.next_page_token, page_size=20)
        found += page.hits
    assert len(found) == 45
    assert {hit.memory.name for hit in found} == {hit.memory.name for hit in whole.hits}
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in whole.hits], abs=0.05)
    assert found[-1].matched_terms == whole.hits[-1].matched_terms
    assert found[-1].lexical_rank == whole.hits[-1].lexical_rank


async def test_a_later_page_leaves_out_what_was_deleted(storage: Storage, search: Search) -> None:
    cats = [create("ana", "cat", at=n) for n in range(3)]
    await storage.written(*cats)
    page = await search.ask("ana", "cat", page_size=1)
    await storage.written(delete("ana", cats[0].id))
    rest, _ = await search.raw("ana", page_token=page.next_page_token, page_size=5)
    assert [hit.memory.name for hit in rest.hits] == [f"users/ana/memories/{cats[1].id}"]
    assert not rest.next_page_token


async def test_a_later_page_has_neighbours_too(storage: Storage, search: Search) -> None:
    await storage.written(*(create("ana", f"cat {n}", source=turn("c", n)) for n in range(4)))
    page = await search.ask("ana", "cat", page_size=3, neighbors_before=1)
    search.cache.drop()
    rest, _ = await search.raw("ana", page_token=page.next_page_token, page_size=3, neighbors_before=1)
    shown = [*page.hits, *rest.hits]
    assert {(hit.memory.text, *(one.text for one in hit.before)) for hit in shown} == {
        ("cat 0",),
        ("cat 1", "cat 0"),
        ("cat 2", "cat 1"),
        ("cat 3", "cat 2"),
    }


async def test_page_tokens_of_others_are_refused(storage: Storage, search: Search) -> None:
    for user in ("ana", "ben"):
        await storage.written(*(create(user, "cat", at=n) for n in range(3)))
    token = (await search.ask("ana", "cat", page_size=1)).next_page_token
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    for user, text, fields in (
        ("ben", token, {}),
        ("ana", token, {"filter": {"labels": ["x"]}}),
        ("ana", token, {"neighbors_after": 1}),
        ("ana", forged, {}),
        ("ana", "x", {}),
        ("ana", storage.tokens.consistency(ConsistencyToken(b"l" * 16, owner_of("ana"), 1)), {}),
    ):
        with pytest.raises(TokenInvalid):
            await search.raw(user, page_token=text, **fields)


async def test_another_users_memories_are_out_of_reach(storage: Storage, search: Search) -> None:
    await storage.written(create("ben", "A cat."))
    principal.enter(
        principal.Call(
            principal.Principal(owner_of("x"), "ana", frozenset(), datetime.now(UTC) + timedelta(hours=1)),
            "Bearer test",
            None,
        )
    )
    assert not (await search.ask("ana", "cat")).hits
    request = search_pb2.SearchRequest(parent="users/ben", page_size=1)
    with pytest.raises(UserForbidden):
        await search.service.Search(request, None)  # type: ignore[arg-type]


async def test_an_answer_still_holds_until_something_changes(storage: Storage, search: Search) -> None:
    await storage.written(create("ana", "A cat."))
    first = await search.ask("ana", "cat")
    same, _ = await search.raw("ana", known_revision=first.revision)
    assert same.unchanged
    await attach_all(storage)
    other = await search.ask("ana", "cat", known_revision=first.revision)
    assert not other.unchanged
    assert other.revision > first.revision


async def test_an_answer_carries_a_token_that_the_next_read_honours(storage: Storage, search: Search) -> None:
    await storage.written(create("ana", "A cat."))
    response, call = await search.raw("ana", question=search_pb2.Question(terms=[1]))
    seen = storage.tokens.parse_consistency(call.token)
    assert seen.revision == response.revision
    await search.raw("ana", token=call.token, question=search_pb2.Question(terms=[1]))
    ahead = storage.tokens.consistency(seen._replace(revision=seen.revision + 1))
    with pytest.raises(StalePrimary):
        await search.raw("ana", token=ahead, question=search_pb2.Question(terms=[1]))
    elsewhere = storage.tokens.consistency(seen._replace(lineage=b"another" + bytes(9), revision=2**60))
    await search.raw("ana", token=elsewhere, question=search_pb2.Question(terms=[1]))


async def test_an_erased_owner_has_nothing(storage: Storage, search: Search) -> None:
    await storage.written(create("ana", "A cat.", source=turn("c", 1, "Ben")))
    await search.warm("ana")
    page = await search.ask("ana", "cat")
    assert page.hits
    await storage.sql(
        "UPDATE owners SET erase_time = now(), revision = revision + 1 WHERE owner = $1", owner_of("ana")
    )
    assert not (await search.ask("ana", "cat")).hits
    assert search.cache.drop() == (0, 0)


async def test_searches_beside_writes_show_what_their_token_promises(
    storage: Storage, search: Search
) -> None:
    first = [create("ana", f"cat {n}") for n in range(30)]
    await storage.written(*first)
    living = {one.id for one in first}

    async def look(token: str, there: set[str], gone: UUID) -> None:
        question = search_pb2.Question(terms=[term.hash for term in question_terms("cat")])
        response, _ = await search.raw("ana", token, question=question, page_size=100)
        shown = {hit.memory.name for hit in response.hits}
        assert there <= shown
        assert f"users/ana/memories/{gone}" not in shown

    looks = []
    for one in first:
        new = create("ana", "another cat")
        response = await storage.write(delete("ana", one.id), new)
        living = living - {one.id} | {new.id}
        seen = ConsistencyToken(response.lineage, owner_of("ana"), response.owner_revisions[0])
        there = {f"users/ana/memories/{new.id}"}
        # Not waited for: they go on beside the writes that follow, which delete none of what is looked for.
        looks += [
            asyncio.create_task(look(storage.tokens.consistency(seen), there, one.id)) for _ in range(3)
        ]
        if len(looks) % 9 == 0:
            await attach_all(storage)
        await asyncio.sleep(0)
    await asyncio.gather(*looks)
    final = await search.ask("ana", "cat", page_size=100)
    assert {hit.memory.name for hit in final.hits} == {f"users/ana/memories/{id_}" for id_ in living}


async def test_questions_of_another_model_find_words_only(storage: Storage, search: Search) -> None:
    await storage.written(create("ana", "A cat."), create("ana", "A dog."))
    await attach_all(storage)
    question = search_pb2.Question(terms=[], vector=bytes(4 * 256), model=2)
    response, _ = await search.raw("ana", question=question)
    assert not response.hits


async def test_every_broken_limit_is_named(search: Search) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await search.raw("ana", page_size=0, neighbors_before=11, question={"vector": b"123"})
    assert [broken.field for broken in refused.value.violations] == [
        "page_size",
        "neighbors_before",
        "question.vector",
    ]


async def test_segments_stay_within_their_memory(storage: Storage, searching: Callable[..., Search]) -> None:
    users = [f"u{n}" for n in range(12)]
    await storage.written(*(create(user, "cat " * 200, at=n) for user in users for n in range(40)))
    search = searching(mib=1)
    for user in users:
        response = await search.ask(user, "cat", page_size=1)
        assert len(response.hits) == 1
        assert search.cache.bytes.value() <= 1024 * 1024
    assert search.cache.evicted.value() > 0


async def test_dropping_says_how_much_went(storage: Storage, search: Search) -> None:
    await storage.written(create("ana", "A cat."), create("ben", "A cat."))
    await search.warm("ana")
    await search.warm("ben")
    dropped, size = search.cache.drop(owner_of("ana"))
    assert dropped == 1
    assert size > 0
    assert search.cache.drop()[0] == 1
    assert not (await search.ask("ana", "cat")).warm
