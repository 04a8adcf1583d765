"""The limits of reading, as the contracts state them: every broken field is named at once."""

from collections.abc import Container, Iterable, Iterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import read_pb2
from services.runtime import names
from services.runtime.errors import InvalidArgument, Violation

MAX_NAMES = 200
"""Memories that one call gets."""

USUAL_PAGE, MAX_PAGE = 50, 200

_ORDERS = frozenset(read_pb2.TimelineOrder.values())
_VIEWS = frozenset(memory_pb2.MemoryView.values())

_MAX_KINDS = 8
_MAX_TEXTS = 32
_MAX_LABEL = 64
_MAX_NAME = 128
_MAX_TOKEN = 4_096

_EARLIEST = -62_135_596_800
"""0001-01-01 in seconds; a Timestamp may not lie before it."""
_LATEST = 253_402_300_799
"""9999-12-31."""


def check(violations: Iterable[Violation]) -> None:
    """InvalidArgument if there is any."""
    broken = tuple(violations)
    if broken:
        raise InvalidArgument.collected(broken)


def page_size(asked: int) -> int:
    """How many memories a page has."""
    return min(asked, MAX_PAGE) if asked > 0 else USUAL_PAGE


def of_list(request: read_pb2.ListMemoriesRequest) -> Sequence[Violation]:
    """What a request for a page of the timeline breaks."""
    return (
        *_parent(request.parent),
        *(of_time_range(request.time_range) if request.HasField("time_range") else ()),
        *(of_filter(request.filter) if request.HasField("filter") else ()),
        *of_page(request.page_size, request.page_token),
        *_enum("order", request.order, _ORDERS),
        *_enum("view", request.view, _VIEWS),
    )


def of_batch_get(request: read_pb2.BatchGetMemoriesRequest) -> Iterator[Violation]:
    """What a request for several memories breaks."""
    yield from _parent(request.parent)
    yield from _enum("view", request.view, _VIEWS)
    if not 1 <= len(request.names) <= MAX_NAMES:
        yield Violation("names", f"has 1 to {MAX_NAMES} entries")
        return
    for at, name in enumerate(request.names):
        if not name.startswith(f"{request.parent}/memories/"):
            yield Violation(f"names[{at}]", "is a memory of the user that `parent` names")
            continue
        try:
            names.parse_memory(name, f"names[{at}]")
        except InvalidArgument as wrong:
            yield from wrong.violations


def of_page(size: int, token: str) -> Sequence[Violation]:
    """What page size and token break, before the token is opened."""
    broken = []
    if size < 0:
        broken.append(Violation("page_size", "is 0 or more"))
    if len(token) > _MAX_TOKEN:
        broken.append(Violation("page_token", f"has at most {_MAX_TOKEN} characters"))
    return broken


def of_time_range(span: memory_pb2.TimeRange) -> Iterator[Violation]:
    """What a span of time breaks."""
    broken = [
        Violation(f"time_range.{end}", "is an instant from year 1 to year 9999")
        for end in ("start_time", "end_time")
        if span.HasField(end) and not _is_instant(getattr(span, end))
    ]
    yield from broken
    start, end = span.start_time, span.end_time
    ends = span.HasField("start_time") and span.HasField("end_time") and not broken
    if ends and (end.seconds, end.nanos) < (start.seconds, start.nanos):
        yield Violation("time_range.end_time", "is not before start_time")


def of_filter(only: memory_pb2.MemoryFilter) -> Iterator[Violation]:
    """What a filter breaks."""
    if len(only.kinds) > _MAX_KINDS:
        yield Violation("filter.kinds", f"has at most {_MAX_KINDS} entries")
    for at, kind in enumerate(only.kinds[:_MAX_KINDS]):
        if kind == memory_pb2.MEMORY_KIND_UNSPECIFIED or kind not in memory_pb2.MemoryKind.values():
            yield Violation(f"filter.kinds[{at}]", "is a value of MemoryKind, but not unspecified")
    yield from _texts("filter.labels", only.labels, _MAX_LABEL)
    yield from _texts("filter.people", only.people, _MAX_NAME)
    yield from _text("filter.speaker", only.speaker, 0, _MAX_NAME)
    yield from _text("filter.conversation", only.conversation, 0, _MAX_NAME)


def _parent(name: str) -> Sequence[Violation]:
    try:
        names.parse_user(name)
    except InvalidArgument as wrong:
        return wrong.violations
    return ()


def _texts(field: str, texts: Sequence[str], most: int) -> Iterator[Violation]:
    if len(texts) > _MAX_TEXTS:
        yield Violation(field, f"has at most {_MAX_TEXTS} entries")
    for at, text in enumerate(texts[:_MAX_TEXTS]):
        yield from _text(f"{field}[{at}]", text, 1, most)


def _text(field: str, text: str, least: int, most: int) -> Iterator[Violation]:
    if not least <= len(text.encode()) <= most:
        yield Violation(field, f"has {least} to {most} bytes")
    if "\0" in text:
        yield Violation(field, "does not hold U+0000")


def _enum(field: str, value: int, known: Container[int]) -> Sequence[Violation]:
    if value in known:
        return ()
    return (Violation(field, "is one of the values that the contract names"),)


def _is_instant(time: Timestamp) -> bool:
    return _EARLIEST <= time.seconds <= _LATEST and 0 <= time.nanos < 1_000_000_000
