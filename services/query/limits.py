"""The limits of requests, as query.proto and memory.proto state them: every broken field is named at once."""

from collections.abc import Iterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1 import memory_pb2
from reverie.query.v1 import query_pb2
from services.query import days
from services.runtime import names
from services.runtime.errors import InvalidArgument, Violation

MAX_QUERY_BYTES = 2_048
MAX_NEIGHBORS = 10
SEARCH_PAGE = (20, 100)
"""Hits of a page: unset, and at most."""
DAY_PAGE = (50, 200)
"""The same for memories of a day."""

MAX_TOKEN = 32_768
_MAX_NAME = 128
_MAX_LABEL = 64
_MAX_NAMES = 32
_MAX_KINDS = 8

_EARLIEST = int((days.EARLIEST - days.EPOCH).total_seconds())
_LATEST = int((days.LATEST - days.EPOCH).total_seconds())


def checked_search(request: query_pb2.SearchMemoriesRequest) -> str:
    """Return the user that a search is about. InvalidArgument names every field that breaks a limit."""
    return _checked(request.parent, _search(request))


def checked_day(request: query_pb2.ListOnThisDayRequest) -> str:
    """Return the user whose day is asked for. InvalidArgument names every field that breaks a limit."""
    return _checked(request.parent, _day(request))


def page_size(asked: int, sizes: tuple[int, int]) -> int:
    """Return how many a page has: what is asked, at most what is allowed; unset, what is usual."""
    usual, most = sizes
    return min(asked, most) if asked else usual


def _checked(parent: str, others: Iterator[Violation]) -> str:
    broken: list[Violation] = []
    user = ""
    try:
        user = names.parse_user(parent, "parent")
    except InvalidArgument as wrong:
        broken += wrong.violations
    broken += others
    if broken:
        raise InvalidArgument.collected(broken)
    return user


def _search(request: query_pb2.SearchMemoriesRequest) -> Iterator[Violation]:
    yield from _text("query", request.query, 1, MAX_QUERY_BYTES)
    yield from _time_range(request.time_range)
    yield from _filter(request.filter)
    yield from _page(request.page_size, request.page_token)
    for field in ("neighbors_before", "neighbors_after"):
        if not 0 <= getattr(request, field) <= MAX_NEIGHBORS:
            yield Violation(field, f"is 0 to {MAX_NEIGHBORS}")


def _day(request: query_pb2.ListOnThisDayRequest) -> Iterator[Violation]:
    if request.HasField("time"):
        yield from _instant("time", request.time)
    if days.time_zone(request.time_zone) is None:
        yield Violation("time_zone", 'is the IANA name of a time zone, as "Europe/Lisbon"')
    if request.leap_day not in query_pb2.LeapDay.values():
        yield Violation("leap_day", "is one of the values of LeapDay")
    yield from _page(request.page_size, request.page_token)


def _page(size: int, token: str) -> Iterator[Violation]:
    if size < 0:
        yield Violation("page_size", "is 0 or more")
    if len(token) > MAX_TOKEN:
        yield Violation("page_token", f"has at most {MAX_TOKEN} characters")


def _time_range(span: memory_pb2.TimeRange) -> Iterator[Violation]:
    broken: list[Violation] = []
    for end in ("start_time", "end_time"):
        if span.HasField(end):
            broken += _instant(f"time_range.{end}", getattr(span, end))
    yield from broken
    ends = (span.start_time.seconds, span.start_time.nanos), (span.end_time.seconds, span.end_time.nanos)
    if not broken and span.HasField("start_time") and span.HasField("end_time") and ends[1] < ends[0]:
        yield Violation("time_range.end_time", "is not before start_time")


def _filter(only: memory_pb2.MemoryFilter) -> Iterator[Violation]:
    if len(only.kinds) > _MAX_KINDS:
        yield Violation("filter.kinds", f"has at most {_MAX_KINDS} kinds")
    for at, kind in enumerate(only.kinds):
        if kind == memory_pb2.MEMORY_KIND_UNSPECIFIED or kind not in memory_pb2.MemoryKind.values():
            yield Violation(f"filter.kinds[{at}]", "is one of the values of MemoryKind but unspecified")
    yield from _texts("filter.labels", only.labels, _MAX_LABEL)
    yield from _texts("filter.people", only.people, _MAX_NAME)
    yield from _text("filter.speaker", only.speaker, 0, _MAX_NAME)
    yield from _text("filter.conversation", only.conversation, 0, _MAX_NAME)


def _texts(field: str, texts: Sequence[str], most: int) -> Iterator[Violation]:
    if len(texts) > _MAX_NAMES:
        yield Violation(field, f"has at most {_MAX_NAMES} entries")
        return
    for at, text in enumerate(texts):
        yield from _text(f"{field}[{at}]", text, 1, most)


def _text(field: str, text: str, least: int, most: int) -> Iterator[Violation]:
    if not least <= len(text.encode()) <= most:
        yield Violation(field, f"has {least} to {most:,} bytes of UTF-8")
    elif "\0" in text:
        yield Violation(field, "does not hold U+0000")


def _instant(field: str, time: Timestamp) -> Iterator[Violation]:
    if not (_EARLIEST <= time.seconds <= _LATEST and 0 <= time.nanos < 1_000_000_000):
        yield Violation(field, f"is an instant from {days.EARLIEST.date()} to {days.LATEST.date()} in UTC")
