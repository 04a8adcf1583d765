"""`reverie.ingest.v1.IngestService`: every write of an application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from uuid import UUID

import grpc

from reverie.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from reverie.memory.v1.memory_pb2 import Memory, MemoryView
from reverie.storage.v1.read_pb2 import GetMemoryRequest
from services.ingest import answers, mask, validation, writes
from services.ingest.batcher import Answer, Batcher, BulkWrite
from services.ingest.lane import Committed, Operation, Outcome, Owner
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
    Unimplemented,
    Violation,
)
from services.runtime.tokens import METADATA_KEY, ConsistencyToken, Tokens
from services.storage.client import StorageReadClient

MAX_ITEMS = 1_000
MAX_BATCH_BYTES = 4 * 1024 * 1024

SLICE = 32
"""Items of a batch that are prepared before others have a turn: about two milliseconds."""

_OF_ALL = (Overloaded, Draining, StoreDown, StoreFull, PeerUnavailable, DeadlineTooShort, InternalError)
"""Errors that say nothing about an item; a batch of which all items met one fails as a whole."""

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
Submitted = tuple[Operation, Answer] | ReverieError


@dataclass(frozen=True, slots=True)
class IngestService(ingest_pb2_grpc.IngestServiceServicer):
    """Takes in memories; what it answers OK is committed."""

    batcher: Batcher
    reader: StorageReadClient
    tokens: Tokens
    clock: WallClock = utc_now

    async def CreateMemory(  # noqa: N802
        self, request: ingest_pb2.CreateMemoryRequest, context: Context
    ) -> ingest_pb2.CreateMemoryResponse:
        """Creates one memory."""
        seconds = deadline.shaved(deadline.remaining(context))
        operation = self._creation(request, _origin(context))
        committed = await self.batcher.write(operation, seconds)
        self._promise(context, operation.owner, [committed])
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
        with self.batcher.bulk(owner.owner, len(request.requests), size, seconds) as bulk:
            submitted = await self._submit(bulk, owner, request, _origin(context))
            outcomes = [item if isinstance(item, ReverieError) else await item[1] for item in submitted]
        _raise_if_of_all(outcomes)
        self._promise(context, owner, (outcome for outcome in outcomes if isinstance(outcome, Committed)))
        results = (_result(item, outcome) for item, outcome in zip(submitted, outcomes, strict=True))
        return ingest_pb2.BatchCreateMemoriesResponse(results=results)

    async def StreamMemories(  # noqa: N802
        self, _requests: AsyncIterator[ingest_pb2.StreamMemoriesRequest], _context: Context
    ) -> NoReturn:
        """Not in this version."""
        raise Unimplemented("StreamMemories comes with a later version; use BatchCreateMemories")

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
        self._promise(context, owner, [committed])
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
        self._promise(context, owner, [committed])
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
    ) -> list[Submitted]:
        """Prepares and queues each item; the first ones are under way before the last ones are looked at."""
        submitted: list[Submitted] = []
        now = self.clock()
        for index, item in enumerate(request.requests):
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            try:
                _check_parent(item, request.parent)
                operation = writes.create(owner, item, origin, index, now)
            except InvalidArgument as wrong:
                submitted.append(wrong)
            else:
                submitted.append((operation, bulk.submit(operation)))
        return submitted

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

    def _promise(self, context: Context, owner: Owner, committed: Iterable[Committed]) -> None:
        """Sends the token by which the caller's reads show these writes."""
        latest = max(committed, key=lambda each: each.owner_revision, default=None)
        if latest is not None and latest.owner_revision:
            token = ConsistencyToken(latest.lineage, UUID(bytes=owner.owner), latest.owner_revision)
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


def _check_parent(item: ingest_pb2.CreateMemoryRequest, parent: str) -> None:
    if item.parent and item.parent != parent:
        raise InvalidArgument.of("parent", "is left out or that of the batch")


def _target(request: ingest_pb2.UpdateMemoryRequest) -> tuple[str, UUID, int]:
    """User, id and starting revision of an update. InvalidArgument, with every broken field."""
    found: list[Violation] = []
    target = _parsed(found, names.parse_memory, request.memory.name, "memory.name")
    from_revision = _parsed(found, names.parse_etag, request.memory.etag, "memory.etag")
    found += mask.violations(request)
    if found or target is None or from_revision is None:
        raise InvalidArgument.collected(found)
    return *target, from_revision


def _raise_if_of_all(outcomes: Sequence[Outcome]) -> None:
    first = outcomes[0]
    if isinstance(first, _OF_ALL) and all(isinstance(outcome, _OF_ALL) for outcome in outcomes):
        raise first


def _result(item: Submitted, outcome: Outcome) -> ingest_pb2.CreateResult:
    if isinstance(item, ReverieError):
        return ingest_pb2.CreateResult(error=answers.item_error(item))
    return answers.result_of(item[0], outcome)
