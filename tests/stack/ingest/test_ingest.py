"""Ingest's answers, given by storage over a real database, are what its reads give."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, given, settings

from reverie.ingest.v1 import ingest_pb2
from reverie.memory.v1.memory_pb2 import Memory
from reverie.storage.v1 import write_pb2
from services.ingest.batcher import Batcher
from services.ingest.service import IngestService
from services.ingest.streaming import Streams, StreamSettings
from services.ingest.validation import MAX_TEXT
from services.runtime.errors import (
    EtagMismatch,
    MemoryDeleted,
    MemoryExists,
    MemoryNotFound,
    ReverieError,
    UnknownOutcome,
)
from services.storage.database import Database
from tests.stack.storage.harness import Context, Storage, context, enter, new_id
from tests.unit.ingest.memories import accepted, plain


@dataclass
class Reader:
    """Storage's reads, as ingest's client makes them."""

    storage: Storage

    async def get_memory(self, request: Any, seconds: float) -> Any:
        return await self.storage.reads.GetMemory(request, context(Context(seconds)))


class Ingest:
    """The service of one ingest process."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.lost_answers = 0
        self.batches = 0
        self.largest_answer = 0
        self.batcher = Batcher(self.send, lanes=1, bulk_lanes=1, queue_rows=5_000, queue_bytes=10**8)
        reader: Any = Reader(storage)
        self.service = IngestService(
            self.batcher, reader, storage.tokens, Streams(self.batcher, storage.tokens, StreamSettings())
        )

    async def send(
        self, request: write_pb2.WriteBatchRequest, seconds: float
    ) -> write_pb2.WriteBatchResponse:
        self.batches += 1
        response = await self.storage.writes.WriteBatch(request, context(Context(seconds)))
        self.largest_answer = max(self.largest_answer, response.ByteSize())
        if self.lost_answers:
            self.lost_answers -= 1
            raise UnknownOutcome
        return response

    async def create(self, memory: Memory, id_: UUID | None = None) -> Memory:
        enter("ana")
        request = ingest_pb2.CreateMemoryRequest(
            parent="users/ana", memory_id=str(id_ or new_id()), memory=memory
        )
        return (await self.service.CreateMemory(request, context(Context()))).memory

    async def update(self, memory: Memory, *mask: str) -> Memory:
        enter("ana")
        request = ingest_pb2.UpdateMemoryRequest(memory=memory, update_mask=FieldMask(paths=mask))
        return (await self.service.UpdateMemory(request, context(Context()))).memory

    async def delete(self, name: str, etag: str = "") -> None:
        enter("ana")
        await self.service.DeleteMemory(
            ingest_pb2.DeleteMemoryRequest(name=name, etag=etag), context(Context())
        )

    async def read(self, name: str) -> Memory:
        return await self.storage.get("ana", UUID(name.rsplit("/", 1)[1]))


@pytest_asyncio.fixture
async def ingest(database: Database) -> AsyncIterator[Ingest]:
    service = Ingest(Storage(database))
    async with service.batcher:
        yield service


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(memory=accepted())
async def test_the_answer_to_a_create_is_what_a_read_gives(ingest: Ingest, memory: Memory) -> None:
    id_ = new_id()
    created = await ingest.create(memory, id_)
    assert created == await ingest.read(created.name)
    assert await ingest.create(memory, id_) == created


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(before=accepted(), change=accepted())
async def test_the_answer_to_an_update_is_what_a_read_gives_and_so_is_its_repeat(
    ingest: Ingest, before: Memory, change: Memory
) -> None:
    mask = ["text", "occurred_at", "occurred_until", "place", "people", "labels", "language", "attachments"]
    created = await ingest.create(before)
    change.name, change.etag = created.name, created.etag
    changed = await ingest.update(change, *mask)
    assert changed == await ingest.read(created.name)
    assert changed.revision > created.revision
    assert await ingest.update(change, *mask) == changed


async def test_a_create_whose_answer_was_lost_is_one_memory(ingest: Ingest) -> None:
    ingest.lost_answers = 2
    created = await ingest.create(plain())
    assert created == await ingest.read(created.name)
    assert ingest.batches == 3


async def test_two_bodies_under_one_id_give_one_memory_in_one_batch_and_in_two(ingest: Ingest) -> None:
    for apart in (False, True):
        id_ = new_id()
        tasks: list[asyncio.Task[Memory]] = []
        for text in ("one", "two"):
            tasks.append(asyncio.ensure_future(ingest.create(plain(text=text), id_)))
            if apart:
                await asyncio.wait(tasks)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in ended] == [Memory, MemoryExists]


async def test_what_is_gone_or_was_never_there_is_told_apart(ingest: Ingest) -> None:
    created = await ingest.create(plain())
    unknown = plain(name=f"users/ana/memories/{new_id()}", etag="1")
    await refused(MemoryNotFound, ingest.delete(unknown.name))
    await refused(MemoryNotFound, ingest.update(unknown, "text"))
    await refused(EtagMismatch, ingest.delete(created.name, "1"))
    await refused(EtagMismatch, ingest.update(plain(name=created.name, etag="1"), "text"))
    await ingest.delete(created.name, created.etag)
    await ingest.delete(created.name)
    await refused(MemoryDeleted, ingest.update(plain(name=created.name, etag=created.etag), "text"))
    await refused(MemoryDeleted, ingest.create(plain(), UUID(created.name.rsplit("/", 1)[1])))


async def test_a_batch_of_a_thousand_is_there_when_it_is_answered(ingest: Ingest) -> None:
    enter("ana")
    requests = [
        ingest_pb2.CreateMemoryRequest(memory_id=str(new_id()), memory=plain(text=f"memory {number}"))
        for number in range(1000)
    ]
    batch = ingest_pb2.BatchCreateMemoriesRequest(parent="users/ana", requests=requests)
    call = Context(30)
    results = (await ingest.service.BatchCreateMemories(batch, context(call))).results
    token = ingest.storage.tokens.parse_consistency(call.token)
    assert token.revision == max(result.memory.revision for result in results)
    for result in results[::111]:
        found = await ingest.read(result.memory.name)
        assert (found.revision, found.etag) == (result.memory.revision, result.memory.etag)
    assert ingest.batches <= 6
    again = (await ingest.service.BatchCreateMemories(batch, context(Context(30)))).results
    assert again == results


async def test_a_batch_that_is_repeated_costs_revisions_and_not_memories(ingest: Ingest) -> None:
    enter("ana")
    requests = [
        ingest_pb2.CreateMemoryRequest(memory_id=str(new_id()), memory=plain(text="x" * MAX_TEXT))
        for _ in range(64)
    ]
    batch = ingest_pb2.BatchCreateMemoriesRequest(parent="users/ana", requests=requests)
    first = await ingest.service.BatchCreateMemories(batch, context(Context(30)))
    assert await ingest.service.BatchCreateMemories(batch, context(Context(30))) == first
    assert ingest.largest_answer < MAX_TEXT


async def refused(kind: type[ReverieError], call: Any) -> None:
    with pytest.raises(kind):
        await call
