"""Columns of a stream: what they say is what items say."""

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reverie.ingest.v1.ingest_pb2 import CreateMemoryRequest, MemoryColumns
from reverie.memory.v1.memory_pb2 import Memory
from reverie_client import NewMemory, Source
from reverie_client import columns as client
from reverie_client.content import Kind, fill_request
from reverie_client.times import Occurred, Precision
from services.ingest import columns, rows
from services.ingest.rows import NO_OFFSET, Row
from services.runtime.errors import InvalidArgument
from tests.unit.ingest.memories import accepted, anything
from tests.unit.ingest.operations import NOW, SOME_ID
from tests.unit.ingest.test_rows import OWNER, without_rare

_LEFT_OUT = ("occurred_precisions", "occurred_offsets", "kinds", "conversations", "speakers", "positions")


def row_of(request: CreateMemoryRequest) -> Row | list[Any]:
    """The row of an item, or what is wrong."""
    try:
        return rows.row(OWNER, request, None, 0, NOW)
    except InvalidArgument as wrong:
        return [*wrong.violations]


def rows_of(some: MemoryColumns) -> list[Row | list[Any]]:
    """The rows of columns, or what is wrong."""
    columns.check(some)
    found = columns.rows_of(OWNER, some, NOW)
    return [[*each.violations] if isinstance(each, InvalidArgument) else each for each in found]


def as_columns(memories: list[Memory], ids: list[bytes]) -> MemoryColumns:
    """Memories as another client than ours may put them: with their instants to the microsecond."""
    some = MemoryColumns(sequences=range(len(memories)), ids=b"".join(ids))
    for memory in memories:
        has_offset = memory.HasField("occurred_utc_offset")
        some.texts.append(memory.text)
        some.occurred_at.append(memory.occurred_at.seconds * 1_000_000 + memory.occurred_at.nanos // 1_000)
        some.occurred_precisions.append(memory.occurred_precision)
        some.occurred_offsets.append(memory.occurred_utc_offset.seconds // 60 if has_offset else NO_OFFSET)
        some.kinds.append(memory.kind)
        some.conversations.append(memory.source.conversation)
        some.speakers.append(memory.source.speaker)
        some.positions.append(memory.source.position)
    return some


def _fits_columns(memory: Memory) -> bool:
    at, offset = memory.occurred_at, memory.occurred_utc_offset
    return (
        memory.HasField("occurred_at")
        and abs(at.seconds) < 2**43
        and 0 <= at.nanos < 10**9
        and not at.nanos % 1_000
        and -32_768 < offset.seconds // 60 < 32_768
        and not (offset.seconds % 60 or offset.nanos)
        and memory.HasField("source") == bool(memory.source.conversation)
    )


_usual = (accepted().map(without_rare) | anything().map(without_rare)).filter(_fits_columns)
_ids = st.sampled_from([SOME_ID, UUID(int=7), UUID(int=2**128 - 1)])


@given(st.lists(st.tuples(_usual, _ids), min_size=1, max_size=4))
@settings(max_examples=200)
def test_a_memory_in_columns_is_the_one_of_its_item_or_as_wrong(some: list[tuple[Memory, UUID]]) -> None:
    expected = [row_of(CreateMemoryRequest(memory_id=str(id_), memory=memory)) for memory, id_ in some]
    assert rows_of(as_columns([memory for memory, _ in some], [id_.bytes for _, id_ in some])) == expected


_times = st.datetimes(timezones=st.timezones()) | st.dates()
_new = st.builds(
    NewMemory,
    text=st.text(max_size=20),
    occurred_at=_times
    | st.builds(Occurred, st.datetimes(timezones=st.timezones()), st.sampled_from(Precision)),
    kind=st.sampled_from(Kind),
    source=st.none()
    | st.builds(Source, st.text(max_size=5), st.text(max_size=5), st.integers(-1, 2**31 - 1)),
    labels=st.sampled_from([(), ("garden",)]),
    id=st.just(SOME_ID),
)


_BEFORE_YEAR_1 = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3)))


@given(st.lists(_new, min_size=1, max_size=4))
@example([NewMemory("x", occurred_at=_BEFORE_YEAR_1, id=SOME_ID)])
@settings(max_examples=200)
def test_our_client_says_the_same_by_columns_as_by_items(some: list[NewMemory]) -> None:
    usual = [(new, one) for new in some if (one := client.usual(new)) is not None]
    if not usual:
        return
    frame = MemoryColumns()
    client.put(frame, range(len(usual)), [one for _, one in usual])
    requests = [CreateMemoryRequest() for _ in usual]
    for request, (new, _) in zip(requests, usual, strict=True):
        fill_request(request, new)
    assert rows_of(frame) == [row_of(request) for request in requests]
    assert sum(client.size_of(one) for _, one in usual) >= frame.ByteSize() - 40


@pytest.mark.parametrize("name", ["ids", "texts", "occurred_at", *_LEFT_OUT])
def test_columns_of_different_lengths_are_refused_by_name(name: str) -> None:
    memory = Memory(text="a", occurred_at={"seconds": 1})
    some = as_columns([memory, memory], [SOME_ID.bytes] * 2)
    shorter = getattr(some, name)[:-1]
    if name == "ids":
        some.ids = shorter
    else:
        del getattr(some, name)[-1]
    with pytest.raises(InvalidArgument) as refused:
        columns.check(some)
    assert [violation.field for violation in refused.value.violations] == [f"columns.{name}"]


def test_columns_that_nothing_is_in_may_be_left_out() -> None:
    memory = Memory(text="a", occurred_at={"seconds": 1})
    some = as_columns([memory, memory], [SOME_ID.bytes] * 2)
    expected = rows_of(some)
    for name in _LEFT_OUT:
        some.ClearField(name)
    assert rows_of(some) == expected
