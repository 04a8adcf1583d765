"""Rows: what they say is what operations say, whichever way they were made."""

from typing import Any
from uuid import UUID

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.ingest.v1.ingest_pb2 import CreateMemoryRequest
from reverie.memory.v1.memory_pb2 import Memory, Place, Source
from reverie.storage.v1.write_pb2 import WriteBatchRequest, WriteOperation
from services.ingest import rows, writes
from services.ingest.lane import Owner
from services.ingest.rows import Row
from services.ingest.validation import LATEST, MAX_TEXT
from services.ingest.writes import Origin
from services.runtime.errors import InvalidArgument
from tests.unit.ingest.memories import accepted, anything, plain
from tests.unit.ingest.operations import NOW, SOME_ID, operations

OWNER = Owner(b"o" * 16, b"t" * 16, "ines")
RARE = ("language", "occurred_until", "place", "people", "labels", "attachments")


def made(memory: Memory, id_: str = str(SOME_ID), origin: Origin | None = None) -> Row | list[Any]:
    """The row, or what is wrong."""
    try:
        return rows.row(OWNER, CreateMemoryRequest(memory_id=id_, memory=memory), origin, 3, NOW)
    except InvalidArgument as wrong:
        return [*wrong.violations]


def sent(*some: Row) -> list[WriteOperation]:
    """What storage is told by columns."""
    request = WriteBatchRequest()
    rows.put(request.creates, some)
    return operations(request)


def operation(
    memory: Memory, id_: str = str(SOME_ID), origin: Origin | None = None
) -> WriteOperation | list[Any]:
    """What it is told by an operation, or what is wrong."""
    try:
        request = CreateMemoryRequest(memory_id=id_, memory=memory)
        return writes.create(OWNER, request, origin, 3, NOW).change
    except InvalidArgument as wrong:
        return [*wrong.violations]


def without_rare(memory: Memory) -> Memory:
    for field in RARE:
        memory.ClearField(field)
    return memory


@given(accepted() | accepted().map(without_rare) | anything() | anything().map(without_rare))
@settings(max_examples=200)
def test_a_row_says_what_an_operation_says_or_what_is_wrong(memory: Memory) -> None:
    found, expected = made(memory), operation(memory)
    assert (sent(found) == [expected]) if isinstance(found, Row) else (found == expected)


@given(st.lists(accepted() | accepted().map(without_rare), min_size=1, max_size=5))
@settings(max_examples=100)
def test_columns_keep_rows_apart_and_rows_can_be_operations(memories: list[Memory]) -> None:
    some = [each for each in map(made, memories) if isinstance(each, Row)]
    assert len(some) == len(memories)
    expected = [operation(memory) for memory in memories]
    assert sent(*some) == expected
    request = WriteBatchRequest()
    for each in some:
        rows.put_operation(request.operations.add(), each)
    assert [*request.operations] == expected


@given(accepted() | accepted().map(without_rare))
@settings(max_examples=100)
def test_rows_know_their_size(memory: Memory) -> None:
    found = made(memory)
    assert isinstance(found, Row)
    request = WriteBatchRequest()
    rows.put(request.creates, [found])
    assert found.size >= request.ByteSize() - len(request.creates.DESCRIPTOR.fields) * 2


@pytest.mark.parametrize(
    "fields",
    [
        {"text": ""},
        {"text": "x" * (MAX_TEXT + 1)},
        {"text": "a\0"},
        {"kind": 5},
        {"occurred_precision": 5},
        {"occurred_at": None},
        {"occurred_at": Timestamp(seconds=LATEST)},
        {"occurred_at": Timestamp(nanos=1)},
        {"occurred_utc_offset": Duration(seconds=1)},
        {"source": Source()},
        {"source": Source(conversation="é" * 65)},
        {"source": Source(conversation="x", speaker="\0")},
        {"source": Source(conversation="x", position=-1)},
        {"place": Place()},
    ],
)
def test_what_breaks_a_limit_makes_no_row(fields: dict[str, Any]) -> None:
    assert isinstance(made(plain()), Row)
    assert not isinstance(made(plain(**fields)), Row)


def test_a_memory_without_an_id_gets_that_of_its_place_in_the_call() -> None:
    origin = Origin("request", 1_700_000_000_000)
    found, expected = made(plain(), "", origin), operation(plain(), "", origin)
    assert isinstance(found, Row)
    assert sent(found) == [expected]
    assert UUID(found.memory_id).bytes == found.id
    assert not isinstance(made(plain(), ""), Row)
    assert not isinstance(made(plain(), str(SOME_ID).upper()), Row)
