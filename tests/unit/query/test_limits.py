"""Promises about limits: what breaks one is named, and all of them at once."""

from typing import Any

import pytest

from reverie.query.v1 import query_pb2
from services.query import limits
from services.runtime.errors import InvalidArgument


def search(**fields: Any) -> query_pb2.SearchMemoriesRequest:
    return query_pb2.SearchMemoriesRequest(**{"parent": "users/ana", "query": "cat", **fields})


def broken(request: Any) -> list[str]:
    check = (
        limits.checked_search if isinstance(request, query_pb2.SearchMemoriesRequest) else limits.checked_day
    )
    with pytest.raises(InvalidArgument) as refused:
        check(request)
    return [violation.field for violation in refused.value.violations]


def test_a_request_within_the_limits_says_whose_memories_are_meant() -> None:
    assert limits.checked_search(search()) == "ana"
    assert limits.checked_day(query_pb2.ListOnThisDayRequest(parent="users/ana")) == "ana"


def test_the_largest_request_is_let_in() -> None:
    request = search(
        query="é" * 1_024,
        neighbors_before=10,
        neighbors_after=10,
        page_size=1_000_000,
        time_range={"start_time": {"seconds": 1, "nanos": 999_999_999}, "end_time": {"seconds": 2}},
        filter={
            "kinds": [1, 2, 3, 4, 1, 2, 3, 4],
            "labels": ["é" * 32] * 32,
            "people": ["x" * 128] * 32,
            "speaker": "x" * 128,
            "conversation": "x" * 128,
        },
    )
    assert limits.checked_search(request) == "ana"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"parent": "ana"}, "parent"),
        ({"query": ""}, "query"),
        ({"query": "x" * 2_049}, "query"),
        ({"query": "a\0b"}, "query"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x" * 40_000}, "page_token"),
        ({"neighbors_before": 11}, "neighbors_before"),
        ({"neighbors_after": -1}, "neighbors_after"),
        ({"time_range": {"start_time": {"seconds": -(10**12)}}}, "time_range.start_time"),
        ({"time_range": {"end_time": {"seconds": 10**12}}}, "time_range.end_time"),
        ({"time_range": {"end_time": {"nanos": -1}}}, "time_range.end_time"),
        ({"time_range": {"start_time": {"nanos": 1}, "end_time": {}}}, "time_range.end_time"),
        ({"filter": {"kinds": [1] * 9}}, "filter.kinds"),
        ({"filter": {"kinds": [1, 0]}}, "filter.kinds[1]"),
        ({"filter": {"kinds": [77]}}, "filter.kinds[0]"),
        ({"filter": {"labels": ["x"] * 33}}, "filter.labels"),
        ({"filter": {"labels": ["x", ""]}}, "filter.labels[1]"),
        ({"filter": {"labels": ["x" * 65]}}, "filter.labels[0]"),
        ({"filter": {"people": ["é" * 65]}}, "filter.people[0]"),
        ({"filter": {"speaker": "x" * 129}}, "filter.speaker"),
        ({"filter": {"conversation": "a\0"}}, "filter.conversation"),
    ],
)
def test_a_broken_limit_of_a_search_is_named(fields: dict[str, Any], named: str) -> None:
    assert broken(search(**fields)) == [named]


def test_every_broken_limit_is_named_at_once() -> None:
    request = search(parent="", query="", page_size=-1, neighbors_before=99, filter={"speaker": "x" * 200})
    assert broken(request) == ["parent", "query", "filter.speaker", "page_size", "neighbors_before"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"parent": "users/"}, "parent"),
        ({"time": {"seconds": 10**13}}, "time"),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"leap_day": 9}, "leap_day"),
        ({"page_size": -5}, "page_size"),
    ],
)
def test_a_broken_limit_of_a_day_is_named(fields: dict[str, Any], named: str) -> None:
    assert broken(query_pb2.ListOnThisDayRequest(**{"parent": "users/ana", **fields})) == [named]


@pytest.mark.parametrize(("asked", "given"), [(0, 20), (1, 1), (100, 100), (101, 100)])
def test_a_page_is_as_large_as_asked_within_bounds(asked: int, given: int) -> None:
    assert limits.page_size(asked, limits.SEARCH_PAGE) == given
