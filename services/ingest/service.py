"""`reverie.ingest.v1.IngestService`: every write of an application."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

import grpc

from reverie.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from reverie.memory.v1.memory_pb2 import Memory, MemoryView
from reverie.storage.v1.read_pb2 import GetMemoryRequest
from services.ingest import answers, mask, validation, writes
from services.ingest.batcher import Batcher, BulkWrite
from services.ingest.bulk import Group
from services.ingest.lane import Committed, Operation, Owner
from services.ingest.receipts import Receipts, refuse
from services.ingest.rows import Row, tried
from services.ingest.streaming import Streams
from services.ingest.turns import SLICE
from services.ingest.writes import Origin
from services.runtime import deadline, names, principal
from services.runtime.clock import WallClock, utc_now
from services.runtime.errors import (
    DeadlineTooShort,
    Draining,
    EtagMismatch,
    InternalError,
    InvalidArgument,
    MemoryDeleted,
    MemoryNotFound,
    Overloaded,
    PeerUnavailable,
    ReverieError,
    StalePrimary,
    StoreDown,
    StoreFull,
    TooLarge,
    Violation,
)
from services.runtime.tokens import METADATA_KEY, ConsistencyToken, Tokens
from services.storage.client import StorageReadClient

MAX_ITEMS = 1_000
MAX_BATCH_BYTES = 4 * 1024 * 1024

_OF_ALL = (Overloaded, Draining, StoreDown, StoreFull, PeerUnavailable, DeadlineTooShort, InternalError)
"""Errors that say nothing about an item; a batch of which all items met one fails as a whole."""

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
Item = tuple[Group, int] | InvalidArgument
"""An item of a batch: its place in the group that it was queued with, or why it was not."""


@dataclass(frozen=True, slots=True)
class IngestService(ingest_pb2_grpc.IngestServiceServicer):
    """Takes in memories; what it answers OK is committed."""

    batcher: Batcher
    reader: StorageReadClient
    tokens: Tokens
    streams: Streams
    clock: WallClock = utc_now

    async def CreateMemory(  # noqa: N802
        self, request: ingest_pb2.CreateMemoryRequest, context: Context
    ) -> ingest_pb2.CreateMemoryResponse:
        """Creates one memory."""
        seconds = deadline.shaved(deadline.remaining(context))
        operation = self._creation(request, _origin(context))
        committed = await self.batcher.write(operation, seconds)
        self._promise(context, operation.owner, committed.lineage, committed.owner_revision)
        response = ingest_pb2.CreateMemoryResponse()
        answers.fill_created(response.memory, operation, _done(operation, committed))
        return response

    async def BatchCreateMemories(  # noqa: N802
        self, request: ingest_pb2.BatchCreateMemoriesRequest, context: Context
    ) -> ingest_pb2.BatchCreateMemoriesResponse:
        """Creates many memories of one user; each succeeds or fails alone."""
        seconds = deadline.shaved(deadline.remaining(context))
        size = request.ByteSize()
        owner = _owner(_batch_user(request, size))
        with self.batcher.bulk(owner, len(request.requests), size, seconds) as bulk:
            items = await self._submit(bulk, owner, request, _origin(context))
            await bulk.answered()
        _raise_if_of_all(items)
        if bulk.state is not None:
            self._promise(context, owner, *bulk.state)
        return _results(owner.user, items)

    async def StreamMemories(  # noqa: N802
        self, requests: AsyncIterator[ingest_pb2.StreamMemoriesRequest], _context: Context
    ) -> AsyncIterator[ingest_pb2.StreamMemoriesResponse]:
        """Creates memories of one user as they come, and acknowledges each when it is committed."""
        async with aclosing(self.streams.serve(requests)) as responses:
            async for response in responses:
                yield response

    async def UpdateMemory(  # noqa: N802
        self, request: ingest_pb2.UpdateMemoryRequest, context: Context
    ) -> ingest_pb2.UpdateMemoryResponse:
        """Changes the fields of the mask."""
        seconds = deadline.shaved(deadline.remaining(context))
        user, memory_id, from_revision = _target(request)
        owner = _owner(user)
        before = await self._current(owner, memory_id, request.memory.name, seconds)
        if before.revision < from_revision:
            # The reader is behind the etag's state: only a newer read says what the memory has become.
            raise StalePrimary
        after = mask.merged(before, request.memory, request.update_mask.paths)
        found = validation.violations(after)
        if found:
            raise InvalidArgument.collected(found)
        operation = writes.update(owner, memory_id, after, from_revision)
        committed = await self.batcher.write(operation, deadline.shaved(deadline.remaining(context)))
        self._promise(context, owner, committed.lineage, committed.owner_revision)
        response = ingest_pb2.UpdateMemoryResponse()
        answers.fill_updated(response.memory, before, operation, _done(operation, committed))
        return response

    async def DeleteMemory(  # noqa: N802
        self, request: ingest_pb2.DeleteMemoryRequest, context: Context
    ) -> ingest_pb2.DeleteMemoryResponse:
        """Deletes a memory for good."""
        seconds = deadline.shaved(deadline.remaining(context))
        user, memory_id = names.parse_memory(request.name)
        from_revision = names.parse_etag(request.etag) if request.etag else 0
        owner = _owner(user)
        operation = writes.delete(owner, memory_id, from_revision)
        committed = await self.batcher.write(operation, seconds)
        self._promise(context, owner, committed.lineage, committed.owner_revision)
        _done(operation, committed)
        return ingest_pb2.DeleteMemoryResponse()

    def _creation(self, request: ingest_pb2.CreateMemoryRequest, origin: Origin | None) -> Operation:
        now = self.clock()
        found: list[Violation] = []
        user = _parsed(found, names.parse_user, request.parent, "parent")
        if user is None:
            raise InvalidArgument.collected(found + writes.broken(request, origin, now))
        return writes.create(_owner(user), request, origin, 0, now)

    async def _submit(
        self,
        bulk: BulkWrite,
        owner: Owner,
        request: ingest_pb2.BatchCreateMemoriesRequest,
        origin: Origin | None,
    ) -> list[Item]:
        """Prepares and queues each item; the first ones are under way before the last ones are looked at."""
        items: list[Item] = []
        now = self.clock()
        async with self.batcher.turns as turns:
            for start in range(0, len(request.requests), SLICE):
                await turns.next()
                prepared = [
                    _prepared(owner, item, request.parent, origin, index, now)
                    for index, item in enumerate(request.requests[start : start + SLICE], start)
                ]
                group = bulk.submit([each for each in prepared if isinstance(each, Row)])
                at = count()
                items += (
                    each if isinstance(each, InvalidArgument) else (group, next(at)) for each in prepared
                )
        return items

    async def _current(self, owner: Owner, memory_id: UUID, name: str, seconds: float) -> Memory:
        """The memory as a read shows it.

        MemoryNotFound or MemoryDeleted, as the database has it, if there is none; StalePrimary if the
        database has one that the read did not show.
        """
        try:
            request = GetMemoryRequest(name=name, view=MemoryView.MEMORY_VIEW_BASIC)
            return (await self.reader.get_memory(request, seconds)).memory
        except MemoryNotFound:
            # Reads do not tell deleted from unknown; a write does.
            probe = writes.delete(owner, memory_id, writes.NO_REVISION)
            try:
                _done(probe, await self.batcher.write(probe, seconds))
            except EtagMismatch:
                raise StalePrimary from None
            raise MemoryDeleted from None

    def _promise(self, context: Context, owner: Owner, lineage: bytes, owner_revision: int) -> None:
        """Sends the token by which the caller's reads show what was committed."""
        if owner_revision:
            token = ConsistencyToken(lineage, UUID(bytes=owner.owner), owner_revision)
            context.set_trailing_metadata(((METADATA_KEY, self.tokens.consistency(token)),))


def _owner(user: str) -> Owner:
    """Whose memories the caller wants to change. UserForbidden if it must not."""
    caller = principal.current()
    return Owner(caller.owner_of(user).bytes, caller.tenant.bytes, user)


def _done(operation: Operation, committed: Committed) -> Committed:
    """The answer, if it says that the operation was done; raises the error that it is otherwise."""
    error = answers.refusal(operation, committed)
    if error is not None:
        raise error
    return committed


def _origin(context: Context) -> Origin | None:
    """What the edge stamped on the call; None if it did not come through the edge."""
    request_id = received_at = ""
    for key, value in context.invocation_metadata() or ():
        if key == "x-reverie-request-id":
            request_id = str(value)
        elif key == "x-reverie-received-at":
            received_at = str(value)
    if not request_id or not (received_at.isascii() and received_at.isdigit()):
        return None
    return Origin(request_id, int(received_at))


def _parsed(found: list[Violation], parse: Callable[[str, str], T], text: str, field: str) -> T | None:
    """What `parse` makes of a field; None, with another entry in `found`, if it refuses it."""
    try:
        return parse(text, field)
    except InvalidArgument as wrong:
        found += wrong.violations
        return None


def _batch_user(request: ingest_pb2.BatchCreateMemoriesRequest, size: int) -> str:
    """The user of a batch that is within its limits."""
    if size > MAX_BATCH_BYTES:
        raise TooLarge
    found: list[Violation] = []
    user = _parsed(found, names.parse_user, request.parent, "parent")
    if not 1 <= len(request.requests) <= MAX_ITEMS:
        found.append(Violation("requests", f"has 1 to {MAX_ITEMS} entries"))
    if found or user is None:
        raise InvalidArgument.collected(found)
    return user


def _prepared(
    owner: Owner,
    item: ingest_pb2.CreateMemoryRequest,
    parent: str,
    origin: Origin | None,
    index: int,
    now: datetime,
) -> Row | InvalidArgument:
    """The row of an item of a batch, or what is wrong with it."""
    if item.parent and item.parent != parent:
        return InvalidArgument.of("parent", "is left out or that of the batch")
    return tried(owner, item, origin, index, now)


def _target(request: ingest_pb2.UpdateMemoryRequest) -> tuple[str, UUID, int]:
    """User, id and starting revision of an update. InvalidArgument, with every broken field."""
    found: list[Violation] = []
    target = _parsed(found, names.parse_memory, request.memory.name, "memory.name")
    from_revision = _parsed(found, names.parse_etag, request.memory.etag, "memory.etag")
    found += mask.violations(request)
    if found or target is None or from_revision is None:
        raise InvalidArgument.collected(found)
    return *target, from_revision


def _raise_if_of_all(items: Sequence[Item]) -> None:
    outcomes = [item if isinstance(item, ReverieError) else item[0].outcomes[item[1]] for item in items]
    first = outcomes[0]
    if isinstance(first, _OF_ALL) and all(isinstance(outcome, _OF_ALL) for outcome in outcomes):
        raise first


def _results(user: str, items: Sequence[Item]) -> ingest_pb2.BatchCreateMemoriesResponse:
    response = ingest_pb2.BatchCreateMemoriesResponse()
    receipts = Receipts(user)
    for item in items:
        result = response.results.add()
        if isinstance(item, ReverieError):
            refuse(result, item)
            continue
        group, at = item
        outcome = group.outcomes[at]
        if outcome is not None:
            receipts.fill(result, group.rows[at].memory_id, outcome)
    return response
