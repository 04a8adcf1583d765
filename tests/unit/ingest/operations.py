"""Operations, rows and answers of storage for tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.ingest.v1.ingest_pb2 import CreateMemoryRequest
from reverie.memory.v1.memory_pb2 import Memory, Source
from reverie.storage.v1.write_pb2 import (
    CreateColumns,
    WriteBatchRequest,
    WriteBatchResponse,
    WriteOperation,
    WriteStatus,
)
from services.ingest import rows
from services.ingest.lane import Operation, Owner
from services.ingest.rows import Row
from tests.unit.ingest.memories import plain

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOME_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def owner(number: int, user: str) -> Owner:
    """An owner."""
    return Owner(number.to_bytes(16), b"t" * 16, user)


def operation(of: int = 1, memory: int = 1, body: str = "a", size: int = 0, user: str = "ines") -> Operation:
    """A create of a memory, whose identity is its body."""
    change = WriteOperation(id=memory.to_bytes(16))
    change.create.content.memory.text = body + "x" * size
    return Operation(owner(of, user), change, body.encode())


def row(of: int = 1, memory: int = 1, size: int = 0) -> Row:
    """A row of an owner, larger than it is."""
    request = CreateMemoryRequest(memory_id=str(SOME_ID), memory=plain(text="a"))
    found = rows.row(owner(of, "ines"), request, None, 0, NOW)
    id_ = memory.to_bytes(16)
    return found._replace(key=owner(of, "ines").owner + id_, id=id_, size=found.size + size)


def operations(request: WriteBatchRequest) -> list[WriteOperation]:
    """The operations of a batch, also of one that has columns: the creates that these stand for."""
    return [*request.operations, *_creates(request.creates)]


def _creates(columns: CreateColumns) -> Iterator[WriteOperation]:
    rare = {each.place: each.memory for each in columns.rare}
    for at, terms in enumerate(columns.terms):
        found = WriteOperation(id=columns.ids[16 * at :][:16])
        found.owner_index = columns.owner_indices[at] if columns.owner_indices else 0
        found.create.fingerprint = columns.fingerprints[32 * at :][:32]
        content = found.create.content
        content.terms, content.traits, content.analyzer = terms, columns.traits[at], columns.analyzer
        content.memory.CopyFrom(rare.get(at, Memory()))
        content.memory.MergeFrom(_usual(columns, at))
        yield found


def _usual(columns: CreateColumns, at: int) -> Memory:
    told: dict[str, Any] = {
        "text": columns.texts[at],
        "kind": columns.kinds[at],
        "occurred_precision": columns.occurred_precisions[at],
    }
    if columns.occurred_offsets and columns.occurred_offsets[at] != rows.NO_OFFSET:
        told["occurred_utc_offset"] = {"seconds": columns.occurred_offsets[at] * 60}
    if columns.conversations and columns.conversations[at]:
        told["source"] = Source(
            conversation=columns.conversations[at],
            speaker=columns.speakers[at],
            position=columns.positions[at],
        )
    memory = Memory(**told)
    memory.occurred_at.FromMicroseconds(columns.occurred_at[at])
    return memory


def written(request: WriteBatchRequest, revision: int = 1) -> WriteBatchResponse:
    """The answer that everything in a batch was done."""
    response = WriteBatchResponse(commit_time=Timestamp(seconds=revision), lineage=b"lineage")
    response.owner_revisions.extend([revision] * len(request.owners))
    for _ in operations(request):
        response.results.add(status=WriteStatus.WRITE_STATUS_WRITTEN, revision=revision)
    return response


def briefly(request: WriteBatchRequest, revision: int = 1) -> WriteBatchResponse:
    """The same in one word."""
    response = written(request, revision)
    del response.results[:]
    response.all_written = True
    return response
