"""Promises of looking back on a day, against the real database."""

from datetime import UTC, datetime
from typing import Any

import pytest

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import search_pb2
from services.runtime import names
from services.runtime.errors import InvalidArgument, TokenInvalid
from tests.stack.search.harness import Search, create
from tests.stack.storage.harness import Context, Operation, Storage, context, delete, enter, owner_of


def on(when: str, text: str = "", offset_hours: int = 0, **fields: Any) -> Operation:
    """A memory at a local time, as "2020-02-29T08:00"."""
    seconds = int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp())
    fields.setdefault("occurred_utc_offset", {"seconds": offset_hours * 3600})
    at = {"seconds": seconds - offset_hours * 3600}
    return create("ana", text or when, occurred_at=at, **fields)


async def listed(
    search: Search, *days: tuple[int, int], before: int = 2024, user: str = "ana", **fields: Any
) -> search_pb2.ListOnDaysResponse:
    enter(user)
    request = search_pb2.ListOnDaysRequest(
        parent=names.user_name(user),
        days=[search_pb2.DayOfYear(month=month, day=day) for month, day in days],
        before_year=before,
        **{"page_size": 50, **fields},
    )
    return await search.service.ListOnDays(request, context(Context()))


def texts(response: search_pb2.ListOnDaysResponse) -> list[str]:
    return [memory.text for memory in response.memories]


async def test_the_day_comes_back_from_years_before_the_newest_first(
    storage: Storage, search: Search
) -> None:
    await storage.written(
        on("2019-05-07T08:00"),
        on("2021-05-07T23:59"),
        on("2021-05-07T00:00"),
        on("2024-05-07T10:00", "the year itself"),
        on("2021-05-08T00:00", "the day after"),
        on("2021-05-06T23:59", "the day before"),
    )
    response = await listed(search, (5, 7))
    assert texts(response) == ["2021-05-07T23:59", "2021-05-07T00:00", "2019-05-07T08:00"]
    assert response.read_time.seconds > 0


async def test_a_day_is_that_of_the_person_wherever_they_were(storage: Storage, search: Search) -> None:
    await storage.written(
        on("2020-05-07T00:10", "far east", offset_hours=14),
        on("2020-05-07T23:50", "far west", offset_hours=-12),
        on("2020-05-08T00:10", "far west, next day", offset_hours=-12),
        on("2020-01-01T00:10", "new year in the east", offset_hours=14),
    )
    assert sorted(texts(await listed(search, (5, 7)))) == ["far east", "far west"]
    assert texts(await listed(search, (1, 1))) == ["new year in the east"]


async def test_29_february_is_found_with_the_28th_when_both_are_asked_for(
    storage: Storage, search: Search
) -> None:
    await storage.written(on("2020-02-29T08:00"), on("2019-02-28T08:00"), on("2021-03-01T08:00"))
    assert texts(await listed(search, (2, 28), (2, 29))) == ["2020-02-29T08:00", "2019-02-28T08:00"]
    assert texts(await listed(search, (2, 29))) == ["2020-02-29T08:00"]


async def test_memories_without_a_day_are_not_on_one(storage: Storage, search: Search) -> None:
    coarse = (memory_pb2.OCCURRED_PRECISION_MONTH, memory_pb2.OCCURRED_PRECISION_YEAR)
    await storage.written(*(on("2020-01-01T00:00", occurred_precision=precision) for precision in coarse))
    await storage.written(
        on("2020-01-01T00:00", "a day", occurred_precision=memory_pb2.OCCURRED_PRECISION_DAY)
    )
    assert texts(await listed(search, (1, 1))) == ["a day"]


async def test_the_earliest_and_the_latest_year_can_be_looked_at(storage: Storage, search: Search) -> None:
    first = create("ana", "first", occurred_at={"seconds": -62_135_510_400})
    last = create("ana", "last", occurred_at={"seconds": 253_402_128_000})
    await storage.written(first, last)
    assert texts(await listed(search, (1, 2), (12, 30), before=10_000)) == ["last", "first"]


async def test_pages_of_days_show_each_once(storage: Storage, search: Search) -> None:
    memories = [on(f"{2000 + n // 2}-05-07T08:00", f"{n}") for n in range(20)]
    await storage.written(*memories)
    shown, token = [], ""
    while True:
        response = await listed(search, (5, 7), page_size=3, page_token=token)
        shown += texts(response)
        token = response.next_page_token
        if len(shown) == 6:
            await storage.written(delete("ana", memories[0].id))
        if not token:
            break
    assert sorted(map(int, shown)) == list(range(1, 20))
    token = (await listed(search, (5, 7), page_size=1)).next_page_token
    with pytest.raises(TokenInvalid):
        await listed(search, (5, 8), page_token=token)
    with pytest.raises(TokenInvalid):
        await listed(search, (5, 7), user="ben", page_token=token)


async def test_unknown_and_erased_owners_have_no_days(storage: Storage, search: Search) -> None:
    assert not texts(await listed(search, (5, 7)))
    await storage.written(on("2020-05-07T08:00"))
    await storage.sql("UPDATE owners SET erase_time = now() WHERE owner = $1", owner_of("ana"))
    assert not texts(await listed(search, (5, 7)))


async def test_every_broken_limit_of_days_is_named(search: Search) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await listed(search, (13, 1), before=0, page_size=201)
    assert [broken.field for broken in refused.value.violations] == ["days[0]", "before_year", "page_size"]
