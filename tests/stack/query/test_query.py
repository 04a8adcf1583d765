"""Promises of the query service, with storage behind it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reverie.query.v1 import query_pb2
from services.runtime.errors import (
    InvalidArgument,
    StalePrimary,
    TokenInvalid,
    Unauthenticated,
    UserForbidden,
)
from tests.stack.query.conftest import Query
from tests.stack.search.harness import create, turn
from tests.stack.storage.harness import Context, Storage, context


def texts(hits: Any) -> list[str]:
    return [hit.memory.text for hit in hits]


async def test_a_question_finds_memories_by_words_and_by_meaning(storage: Storage, query: Query) -> None:
    await storage.written(create("ana", "I adopted a cat."), create("ana", "The sea was cold."))
    await query.analyse(storage)
    response = await query.search("Which cats did I adopt?")
    assert texts(response.hits)[0] == "I adopted a cat."
    assert not response.hits[0].HasField("explanation")


async def test_an_explanation_names_the_words_as_the_question_spells_them(
    storage: Storage, query: Query
) -> None:
    await storage.written(
        create("ana", "My cats sleep.", source=turn("c", 1, "Ben")),
        create("ana", "Adopted!", source=turn("c", 2, "Cleo")),
    )
    await query.analyse(storage)
    response = await query.search("When did Ben adopt his CAT?", explain=True)
    best = response.hits[0]
    said = best.explanation
    assert best.memory.source.speaker == "Ben"
    assert list(said.matched_words) == ["adopt", "cat"]
    assert said.speaker_score > 0
    assert (said.lexical_rank, said.vector_rank) == (1, 2)
    parts = said.words_score + said.meaning_score + said.speaker_score + said.time_score + said.prior_score
    assert best.score == pytest.approx(parts)


async def test_speakers_that_come_later_are_understood(storage: Storage, query: Query) -> None:
    await storage.written(create("ana", "My cat.", source=turn("c", 1, "Ben")))
    assert (await query.search("Ben's cat", explain=True)).hits[0].explanation.speaker_score > 0
    await storage.written(create("ana", "My cat.", source=turn("d", 1, "Cleo")))
    response = await query.search("Cleo's cat", explain=True)
    assert response.hits[0].memory.source.speaker == "Cleo"
    assert response.hits[0].explanation.speaker_score > 0


async def test_pages_show_every_hit_once_and_explain_it(storage: Storage, query: Query) -> None:
    await storage.written(*(create("ana", f"cat number {n}", at=n) for n in range(25)))
    found: list[query_pb2.SearchHit] = []
    token = ""
    while True:
        response = await query.search("cats", page_size=10, page_token=token, explain=True)
        found += response.hits
        token = response.next_page_token
        if not token:
            break
    assert len({hit.memory.name for hit in found}) == len(found) == 25
    assert all(list(hit.explanation.matched_words) == ["cats"] for hit in found)


async def test_a_page_token_is_of_one_question_and_one_user(storage: Storage, query: Query) -> None:
    for user in ("ana", "ben"):
        await storage.written(*(create(user, "cat", at=n) for n in range(3)))
    token = (await query.search("cat", page_size=1)).next_page_token
    assert texts((await query.search("cat", page_size=5, page_token=token)).hits) == ["cat", "cat"]
    for user, text, fields in (
        ("ana", "dog", {}),
        ("ben", "cat", {}),
        ("ana", "cat", {"neighbors_before": 1}),
        ("ana", "cat", {"filter": {"speaker": "x"}}),
    ):
        with pytest.raises(TokenInvalid):
            await query.search(text, user, page_token=token, **fields)
    with pytest.raises(TokenInvalid):
        await query.search("cat", page_token=token + "A")


async def test_the_answers_token_holds_for_the_next_read(storage: Storage, query: Query) -> None:
    await storage.written(create("ana", "A cat."))
    _, token = await query.search_with_token("cat")
    seen = storage.tokens.parse_consistency(token)
    await query.search_with_token("cat", token=token)
    ahead = storage.tokens.consistency(seen._replace(revision=seen.revision + 1))
    with pytest.raises(StalePrimary):
        await query.search_with_token("cat", token=ahead)


async def test_storage_verifies_the_jwt_again(storage: Storage, query: Query) -> None:
    query.enter("ana", seconds=-1)
    request = query_pb2.SearchMemoriesRequest(parent="users/ana", query="cat")
    with pytest.raises(Unauthenticated):
        await query.service.SearchMemories(request, context(Context()))


async def test_another_user_is_refused_before_anything_is_asked(query: Query) -> None:
    query.enter("ana")
    search = query_pb2.SearchMemoriesRequest(parent="users/ben", query="cat")
    day = query_pb2.ListOnThisDayRequest(parent="users/ben")
    with pytest.raises(UserForbidden):
        await query.service.SearchMemories(search, context(Context()))
    with pytest.raises(UserForbidden):
        await query.service.ListOnThisDay(day, context(Context()))


async def test_broken_limits_are_named_before_anything_is_asked(query: Query) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await query.search("", neighbors_before=11)
    assert [broken.field for broken in refused.value.violations] == ["query", "neighbors_before"]


async def test_neighbours_and_filters_are_passed_on(storage: Storage, query: Query) -> None:
    await storage.written(*(create("ana", f"cat {n}", source=turn("c", n, "Ben")) for n in range(3)))
    await storage.written(create("ana", "cat elsewhere", labels=["x"]))
    (hit,) = (await query.search("cat", filter={"labels": ["x"]}, neighbors_before=2)).hits
    assert hit.memory.text == "cat elsewhere"
    middle = next(
        hit
        for hit in (await query.search("cat", neighbors_before=1, neighbors_after=1)).hits
        if hit.memory.text == "cat 1"
    )
    assert [one.text for one in (*middle.before, *middle.after)] == ["cat 0", "cat 2"]


async def test_this_day_is_the_persons_own(storage: Storage, query: Query) -> None:
    def on(when: datetime) -> dict[str, int]:
        return {"seconds": int(when.timestamp())}

    await storage.written(
        create("ana", "a year ago", occurred_at=on(datetime(2023, 5, 7, 12, tzinfo=UTC))),
        create("ana", "a year and a day", occurred_at=on(datetime(2023, 5, 8, 12, tzinfo=UTC))),
    )
    assert [one.text for one in (await query.on_this_day()).memories] == ["a year ago"]
    late = on(datetime(2024, 5, 7, 23, tzinfo=UTC))
    response = await query.on_this_day(time=late, time_zone="Asia/Tokyo")
    assert [one.text for one in response.memories] == ["a year and a day"]


async def test_pages_of_a_day_stay_on_it_past_midnight(storage: Storage, query: Query) -> None:
    day = int(datetime(2020, 5, 7, 8, tzinfo=UTC).timestamp())
    await storage.written(*(create("ana", f"{n}", occurred_at={"seconds": day + n}) for n in range(3)))
    first = await query.on_this_day(page_size=2)
    query.now += timedelta(days=1)
    rest = await query.on_this_day(page_size=2, page_token=first.next_page_token)
    assert [one.text for one in (*first.memories, *rest.memories)] == ["2", "1", "0"]
    with pytest.raises(TokenInvalid):
        await query.on_this_day(time_zone="Asia/Tokyo", page_token=first.next_page_token)


async def test_29_february_is_shown_on_the_28th_unless_asked_otherwise(
    storage: Storage, query: Query
) -> None:
    leap = int(datetime(2020, 2, 29, 8, tzinfo=UTC).timestamp())
    await storage.written(create("ana", "leap", occurred_at={"seconds": leap}))
    time = {"seconds": int(datetime(2023, 2, 28, 8, tzinfo=UTC).timestamp())}
    assert len((await query.on_this_day(time=time)).memories) == 1
    strict = await query.on_this_day(time=time, leap_day=query_pb2.LEAP_DAY_STRICT)
    assert not strict.memories
