"""Storage in memory, as ingest sees it: the same outcomes for the same operations, without a database."""

from dataclasses import dataclass, field
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1.memory_pb2 import Memory
from reverie.storage.v1 import write_pb2
from reverie.storage.v1.read_pb2 import GetMemoryRequest, GetMemoryResponse
from services.runtime import names
from services.runtime.errors import MemoryNotFound
from tests.unit.ingest.operations import operations

Status = write_pb2.WriteStatus
LINEAGE = b"lineage"


@dataclass
class Row:
    """A memory, or what is left of a deleted one."""

    fingerprint: bytes
    memory: Memory | None
    previous: int = 0


@dataclass
class Store:
    """Owners with their revisions, and memories by name."""

    revisions: dict[bytes, int] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    """Texts that the database does not take."""
    batches: list[write_pb2.WriteBatchRequest] = field(default_factory=list)
    replica: dict[str, Memory | None] = field(default_factory=dict)
    """What reads give instead, by name, if anything: a node that is behind."""
    failures: list[Exception] = field(default_factory=list)
    """What the next calls end with instead, after they have been done."""

    async def write_batch(
        self, request: write_pb2.WriteBatchRequest, _seconds: float
    ) -> write_pb2.WriteBatchResponse:
        """Commits a batch."""
        self.batches.append(request)
        response = write_pb2.WriteBatchResponse(commit_time=self.now(), lineage=LINEAGE)
        for owner in request.owners:
            self.revisions[owner.owner] = self.revisions.get(owner.owner, 0) + 1
            response.owner_revisions.append(self.revisions[owner.owner])
        for operation in operations(request):
            result = self._apply(request.owners[operation.owner_index], operation)
            if request.without_memories:
                result.ClearField("memory")
            response.results.append(result)
        if request.brief and request.HasField("creates"):
            _shorten(response)
        if self.failures:
            raise self.failures.pop(0)
        return response

    async def get_memory(self, request: GetMemoryRequest, _seconds: float) -> GetMemoryResponse:
        """Reads a memory."""
        user, _ = names.parse_memory(request.name)
        if request.name in self.replica:
            behind = self.replica[request.name]
            if behind is None:
                raise MemoryNotFound
            return GetMemoryResponse(memory=behind)
        row = self.rows.get(request.name)
        if row is None or row.memory is None or user in self.erased:
            raise MemoryNotFound
        return GetMemoryResponse(memory=row.memory)

    def now(self) -> Timestamp:
        """A time that is later with each batch."""
        return Timestamp(seconds=1_700_000_000 + len(self.batches))

    def _apply(
        self, owner: write_pb2.BatchOwner, operation: write_pb2.WriteOperation
    ) -> write_pb2.WriteResult:
        if owner.user in self.erased:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_ERASED)
        name = names.memory_name(owner.user, UUID(bytes=operation.id))
        revision = self.revisions[owner.owner]
        if operation.HasField("create"):
            return self._create(name, revision, operation.create)
        row = self.rows.get(name)
        if row is None:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_NOT_FOUND)
        if operation.HasField("update"):
            return self._update(name, row, revision, operation.update)
        return self._delete(row, operation.delete)

    def _create(self, name: str, revision: int, create: write_pb2.CreateChange) -> write_pb2.WriteResult:
        if create.content.memory.text in self.refused:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_REFUSED, detail="no such text")
        row = self.rows.get(name)
        if row is None:
            memory = self._stored(name, revision, create.content.memory)
            memory.create_time.CopyFrom(self.now())
            self.rows[name] = Row(create.fingerprint, memory)
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_WRITTEN, revision=revision)
        if row.memory is None:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_DELETED)
        if row.fingerprint != create.fingerprint:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_OTHER_BODY, revision=row.memory.revision)
        return self._there(row.memory)

    def _update(
        self, name: str, row: Row, revision: int, update: write_pb2.UpdateChange
    ) -> write_pb2.WriteResult:
        if row.memory is None:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_DELETED)
        after = self._stored(name, row.memory.revision, update.content.memory)
        after.create_time.CopyFrom(row.memory.create_time)
        if row.memory.HasField("update_time"):
            after.update_time.CopyFrom(row.memory.update_time)
        if row.previous == update.from_revision and after == row.memory:
            return self._there(row.memory)
        if row.memory.revision != update.from_revision:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_ETAG_MISMATCH)
        after.update_time.CopyFrom(self.now())
        after.revision, after.etag = revision, names.etag(revision)
        row.memory, row.previous = after, update.from_revision
        return write_pb2.WriteResult(status=Status.WRITE_STATUS_WRITTEN, revision=revision)

    def _delete(self, row: Row, delete: write_pb2.DeleteChange) -> write_pb2.WriteResult:
        if row.memory is None:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_ALREADY_THERE)
        if delete.from_revision not in {0, row.memory.revision}:
            return write_pb2.WriteResult(status=Status.WRITE_STATUS_ETAG_MISMATCH)
        row.memory = None
        return write_pb2.WriteResult(status=Status.WRITE_STATUS_WRITTEN)

    def _stored(self, name: str, revision: int, content: Memory) -> Memory:
        memory = Memory()
        memory.CopyFrom(content)
        memory.name, memory.revision, memory.etag = name, revision, names.etag(revision)
        return memory

    def _there(self, memory: Memory) -> write_pb2.WriteResult:
        return write_pb2.WriteResult(
            status=Status.WRITE_STATUS_ALREADY_THERE, revision=memory.revision, memory=memory
        )


def _shorten(response: write_pb2.WriteBatchResponse) -> None:
    """Says in one word that all was written, if it was."""
    if all(result.status == Status.WRITE_STATUS_WRITTEN for result in response.results):
        del response.results[:]
        response.all_written = True
