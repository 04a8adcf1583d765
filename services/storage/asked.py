"""A search as storage understands the request for it; limits are checked once more, as query may be older."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np

from reverie.storage.v1 import search_pb2
from services.runtime.errors import InvalidArgument, Violation
from services.runtime.terms import NamedTime, TimeUnit
from services.storage.filtering import EVERYTHING, Filter
from services.storage.ranking import Question
from services.storage.records import microseconds

MAX_PAGE = 100
MAX_DAYS_PAGE = 200
MAX_NEIGHBORS = 10
MAX_TERMS = 2_048
MAX_SPEAKERS = 4_096
MAX_TIMES = 1_024

DIGEST_BYTES = 16

_UNITS = frozenset(unit.value for unit in TimeUnit)


def check(request: search_pb2.SearchRequest) -> None:
    """Raise InvalidArgument, naming every field that breaks a limit."""
    _raise(list(_broken(request)))


def check_days(request: search_pb2.ListOnDaysRequest) -> None:
    """Raise InvalidArgument, naming every field that breaks a limit."""
    broken = [
        Violation(f"days[{at}]", "is a day of the year")
        for at, day in enumerate(request.days)
        if not (1 <= day.month <= 12 and 1 <= day.day <= 31)
    ]
    if not 1 <= request.before_year <= 10_000:
        broken.append(Violation("before_year", "is 1 to 10000"))
    if not 1 <= request.page_size <= MAX_DAYS_PAGE:
        broken.append(Violation("page_size", f"is 1 to {MAX_DAYS_PAGE}"))
    _raise(broken)


def question_of(asked: search_pb2.Question, dimensions: int) -> Question:
    """Return the question; without its vector if that is of another length than the model's."""
    vector = np.frombuffer(asked.vector, "<f4")
    return Question(
        terms=asked.terms,
        vector=vector if len(vector) == dimensions else None,
        speakers=asked.speakers,
        asks_for_time=asked.asks_for_time,
        times=[NamedTime(time.first_day, time.last_day, _unit(time.unit)) for time in asked.times],
    )


def filter_of(request: search_pb2.SearchRequest) -> Filter:
    """Return the filter of a request."""
    if not (request.HasField("filter") or request.HasField("time_range")):
        return EVERYTHING
    span, only = request.time_range, request.filter
    return Filter(
        start=microseconds(span.start_time) if span.HasField("start_time") else None,
        end=microseconds(span.end_time) if span.HasField("end_time") else None,
        kinds=tuple(only.kinds),
        labels=tuple(only.labels),
        people=tuple(only.people),
        speaker=only.speaker,
        conversation=only.conversation,
    )


def digest_of(request: search_pb2.SearchRequest) -> bytes:
    """Return what a page token is bound to: the fields that stay the same from page to page."""
    same = search_pb2.SearchRequest(
        parent=request.parent,
        neighbors_before=request.neighbors_before,
        neighbors_after=request.neighbors_after,
    )
    if request.HasField("time_range"):
        same.time_range.CopyFrom(request.time_range)
    if request.HasField("filter"):
        same.filter.CopyFrom(request.filter)
    return _digest(same.SerializeToString(deterministic=True))


def digest_of_days(request: search_pb2.ListOnDaysRequest) -> bytes:
    """Return what a page token of days is bound to."""
    same = search_pb2.ListOnDaysRequest(
        parent=request.parent, days=request.days, before_year=request.before_year
    )
    return _digest(same.SerializeToString(deterministic=True))


def digest_of_speakers(names: Sequence[str]) -> bytes:
    """Return the digest of a list of speakers; empty for none, as where nothing is known."""
    return _digest("\0".join(names).encode()) if names else b""


def _broken(request: search_pb2.SearchRequest) -> Iterator[Violation]:
    if not 1 <= request.page_size <= MAX_PAGE:
        yield Violation("page_size", f"is 1 to {MAX_PAGE}")
    for field in ("neighbors_before", "neighbors_after"):
        if not 0 <= getattr(request, field) <= MAX_NEIGHBORS:
            yield Violation(field, f"is 0 to {MAX_NEIGHBORS}")
    asked = request.question
    for field, most in (("terms", MAX_TERMS), ("speakers", MAX_SPEAKERS), ("times", MAX_TIMES)):
        if len(getattr(asked, field)) > most:
            yield Violation(f"question.{field}", f"has at most {most} entries")
    if len(asked.vector) % 4:
        yield Violation("question.vector", "is made of float32")
    elif not np.isfinite(np.frombuffer(asked.vector, "<f4")).all():
        yield Violation("question.vector", "has finite numbers")


def _raise(broken: Sequence[Violation]) -> None:
    if broken:
        raise InvalidArgument.collected(broken)


def _unit(unit: int) -> TimeUnit:
    return TimeUnit(unit) if unit in _UNITS else TimeUnit.DAY


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
