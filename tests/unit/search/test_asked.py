"""Promises of how storage reads a search."""

from typing import Any

import numpy as np
import pytest

from reverie.storage.v1 import search_pb2
from services.runtime.errors import InvalidArgument
from services.runtime.terms import NamedTime, TimeUnit
from services.storage import asked
from services.storage.filtering import EVERYTHING, Filter


def request(**fields: Any) -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(**{"parent": "users/ana", "page_size": 5, **fields})


def test_a_page_token_is_bound_to_what_narrows_and_shows() -> None:
    first = asked.digest_of(request(question={"terms": [1]}, speakers_digest=b"x", known_revision=4))
    assert asked.digest_of(request(page_size=7, page_token="t")) == first
    for changed in (
        {"parent": "users/ben"},
        {"filter": {"labels": ["x"]}},
        {"time_range": {"start_time": {"seconds": 1}}},
        {"neighbors_before": 1},
    ):
        assert asked.digest_of(request(**changed)) != first


def test_the_digest_of_no_speakers_is_that_of_not_knowing_any() -> None:
    assert asked.digest_of_speakers(()) == b""
    assert asked.digest_of_speakers(("a", "b")) != asked.digest_of_speakers(("ab",))


def test_a_filter_is_everything_unless_something_is_set() -> None:
    assert asked.filter_of(request()) == EVERYTHING
    narrowed = request(
        filter={"kinds": [1], "labels": ["x"], "people": ["p"], "speaker": "s", "conversation": "c"},
        time_range={"start_time": {"seconds": 1, "nanos": 1}, "end_time": {"seconds": 2}},
    )
    assert asked.filter_of(narrowed) == Filter(1_000_001, 2_000_000, (1,), ("x",), ("p",), "s", "c")


def test_a_question_is_read_as_it_was_understood() -> None:
    vector = np.array([1, 0], "<f4")
    question = search_pb2.Question(
        terms=[3, 3],
        vector=vector.tobytes(),
        speakers=["", "Ben"],
        asks_for_time=True,
        times=[{"first_day": 1, "last_day": 2, "unit": 2}],
    )
    read = asked.question_of(question, 2)
    assert (list(read.terms), list(read.speakers), read.asks_for_time) == ([3, 3], ["", "Ben"], True)
    assert list(read.times) == [NamedTime(1, 2, TimeUnit.MONTH)]
    assert read.vector is not None
    assert read.vector.tolist() == [1, 0]


@pytest.mark.parametrize("dimensions", [-1, 3])
def test_a_vector_of_another_model_is_left_out(dimensions: int) -> None:
    question = search_pb2.Question(vector=bytes(8))
    assert asked.question_of(question, dimensions).vector is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"page_size": 101}, "page_size"),
        ({"neighbors_after": -1}, "neighbors_after"),
        ({"question": {"vector": b"abc"}}, "question.vector"),
        ({"question": {"vector": np.array([np.nan], "<f4").tobytes()}}, "question.vector"),
        ({"question": {"terms": [1] * 3_000}}, "question.terms"),
        ({"question": {"speakers": ["x"] * 5_000}}, "question.speakers"),
    ],
)
def test_a_broken_limit_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        asked.check(request(**fields))
    assert [broken.field for broken in refused.value.violations] == [named]
