"""Writing: one batch, one transaction; a row that the database refuses fails alone."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import grpc

from reverie.storage.v1 import write_pb2, write_pb2_grpc
from services.runtime import deadline
from services.runtime.clock import MonotonicClock, monotonic
from services.runtime.errors import DeadlineTooShort, Overloaded, StoreDown, StoreFull, UnknownOutcome
from services.storage import records
from services.storage.batch import DELETE, Batch, Operation
from services.storage.commit import RefusedError, commit
from services.storage.database import Pool
from services.storage.queries import text

if TYPE_CHECKING:
    from services.storage.database import Connection, Record

WRITTEN = write_pb2.WRITE_STATUS_WRITTEN
ALREADY_THERE = write_pb2.WRITE_STATUS_ALREADY_THERE
REFUSED = write_pb2.WRITE_STATUS_REFUSED
DELETED = write_pb2.WRITE_STATUS_DELETED

HINTS_OF_MANY = 64
"""Of those who write many, so many are hinted, an entry's worth: it wakes a worker, who finds the others."""


class Hints(Protocol):
    """Is told of memories that became due, by owner and id. Never raises, never waits."""

    def wrote(self, keys: Sequence[tuple[UUID, UUID]]) -> None:
        """Takes hints."""
        ...


class NoHints:
    """Hints where there is nobody to tell: workers find by themselves what is due."""

    def wrote(self, keys: Sequence[tuple[UUID, UUID]]) -> None:
        """Nothing."""


@dataclass(slots=True)
class Written:
    """What has become of a batch so far."""

    results: dict[int, records.Fields] = field(default_factory=dict)
    """By place in the request."""
    revisions: dict[bytes, int] = field(default_factory=dict)
    """The revision of each owner."""
    committed: int = 0
    """When the first part was."""
    lineage: bytes = b""
    due: list[tuple[UUID, UUID]] = field(default_factory=list)
    """What to hint, by owner and id."""
    without_memories: bool = False
    """Whether nobody asks for those that were there already."""
    brief: bool = False
    """Whether nobody asks for results where all was written at once."""
    all_written: bool = False
    """Whether it was; then there are no results."""

    def took(self, part: Batch, row: "Record", there: Mapping[int, records.Fields]) -> None:
        """Adds a part that was committed; `there`: memories that were there already, by place."""
        committed, self.lineage, owner_revisions, statuses, revisions = row
        self.committed = self.committed or committed
        for owner, revision in zip(part.owners(), owner_revisions, strict=True):
            self.revisions[owner.owner] = max(revision, self.revisions.get(owner.owner, 0))
        self._add_due(part, statuses)
        self.all_written = self.brief and part.whole and statuses.count(WRITTEN) == len(part)
        if not self.all_written:
            later = {} if committed == self.committed else {"commit_time": records.instant(committed)}
            for place, status, revision in zip(part.places, statuses, revisions, strict=True):
                result = {"status": status, "revision": revision or 0, **later}
                self.results[place] = there.get(place, result)

    def _add_due(self, part: Batch, statuses: Sequence[int]) -> None:
        due = (
            (records.id_of(owner.owner), id_)
            for (op, owner, id_), status in zip(part.keys(), statuses, strict=True)
            if status == WRITTEN and op != DELETE
        )
        self.due += islice(due, HINTS_OF_MANY if self.without_memories else None)

    def refused(self, part: Batch, detail: str) -> None:
        """Adds one operation that the database refused."""
        (place,) = part.places
        self.results[place] = {"status": REFUSED, "detail": detail}

    def response(self, request: write_pb2.WriteBatchRequest) -> write_pb2.WriteBatchResponse:
        """The answer. Without a commit time and lineage if every operation was refused."""
        return write_pb2.WriteBatchResponse(
            commit_time=records.instant(self.committed) if self.lineage else None,
            results=[self.results[place] for place in range(len(self.results))],
            owner_revisions=[self.revisions.get(owner.owner, 0) for owner in request.owners],
            lineage=self.lineage,
            all_written=self.all_written,
        )


class WriteService(write_pb2_grpc.StorageWriteServiceServicer):
    """Commits batches for ingest."""

    def __init__(self, pool: Pool, bulk: Pool, hints: Hints, clock: MonotonicClock = monotonic) -> None:
        """`bulk`: for batches that nobody waits for one by one, so that they take no other's connection."""
        self._pool = pool
        self._bulk = bulk
        self._hints = hints
        self._clock = clock
        self._under_way: set[asyncio.Task[Written]] = set()

    async def WriteBatch(  # noqa: N802
        self, request: write_pb2.WriteBatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> write_pb2.WriteBatchResponse:
        """Commits a batch in one transaction; in several where the database refuses a row."""
        batch = Batch.of(request)
        until = self._clock() + deadline.shaved(deadline.remaining(context))
        brief = request.brief and request.HasField("creates")
        written = Written(without_memories=request.without_memories, brief=brief)
        # A task of its own: a caller that goes away must not cut a commit short.
        task = asyncio.ensure_future(self._write(batch, written, until))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return (await asyncio.shield(task)).response(request)

    async def finished(self) -> None:
        """Returns when no write is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _write(self, batch: Batch, written: Written, until: float) -> Written:
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                await self._write_part(part, written, until)
            except RefusedError as refusal:
                if len(part) == 1:
                    written.refused(part, str(refusal))
                else:
                    waiting += reversed(part.halves())
            except (StoreDown, StoreFull, Overloaded, DeadlineTooShort) as failure:
                # "Nothing happened" is true of this part only.
                raise (UnknownOutcome() if written.lineage else failure) from failure
        self._hints.wrote(written.due)
        return written

    async def _write_part(self, part: Batch, written: Written, until: float) -> None:
        if written.without_memories and part.creates_of_one_owner():
            statement, arguments = text("create_many"), part.create_arguments()
        else:
            statement, arguments = text("write_batch"), part.arguments()
        pool = self._bulk if written.without_memories else self._pool
        async with pool.acquired() as connection:
            (row,) = await commit(connection, statement, arguments, until - self._clock())
            there: dict[int, records.Fields] = {}
            if not written.without_memories:
                there = await self._already_there(connection, part, row["status"], until)
        written.took(part, row, there)

    async def _already_there(
        self, connection: "Connection", part: Batch, statuses: Iterable[int], until: float
    ) -> dict[int, records.Fields]:
        """The results of creates and updates that had been done before, by place: memories as they are now.

        Read after the commit, so whoever deletes one in between wins.
        """
        asked = [
            (place, operation)
            for (place, operation), status in zip(part.operations(), statuses, strict=True)
            if status == ALREADY_THERE and operation.op != DELETE
        ]
        found: dict[int, records.Fields] = {place: {"status": DELETED} for place, _ in asked}
        if asked:
            owners = [records.id_of(operation.owner.owner) for _, operation in asked]
            ids = [operation.id for _, operation in asked]
            try:
                current = text("current_memories")
                rows = await commit(connection, current, (owners, ids), until - self._clock())
            except (StoreDown, StoreFull, DeadlineTooShort) as failure:
                raise UnknownOutcome from failure  # the batch is committed
            for row in rows:
                place, operation = asked[row[0] - 1]
                found[place] = _there(operation, row)
        return found

    def _ended(self, task: asyncio.Task[Written]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone


def _there(operation: Operation, row: "Record") -> records.Fields:
    memory = records.memory(operation.owner.user, row, start=1)
    return {"status": ALREADY_THERE, "revision": memory.revision, "memory": memory}
