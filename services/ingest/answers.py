"""From outcomes to responses: what a client gets equals what a read gives."""

from uuid import UUID

from reverie.memory.v1.memory_pb2 import FieldViolation, ItemError, Memory
from reverie.storage.v1.write_pb2 import WriteResult, WriteStatus
from services.ingest.lane import Committed, Operation
from services.runtime import names
from services.runtime.errors import (
    EtagMismatch,
    InternalError,
    MemoryDeleted,
    MemoryExists,
    MemoryNotFound,
    OwnerErased,
    ReverieError,
    StoreRefused,
)

_DONE = (WriteStatus.WRITE_STATUS_WRITTEN, WriteStatus.WRITE_STATUS_ALREADY_THERE)
_REFUSALS: dict[int, type[ReverieError]] = {
    WriteStatus.WRITE_STATUS_OTHER_BODY: MemoryExists,
    WriteStatus.WRITE_STATUS_DELETED: MemoryDeleted,
    WriteStatus.WRITE_STATUS_ERASED: OwnerErased,
    WriteStatus.WRITE_STATUS_NOT_FOUND: MemoryNotFound,
    WriteStatus.WRITE_STATUS_ETAG_MISMATCH: EtagMismatch,
    WriteStatus.WRITE_STATUS_REFUSED: StoreRefused,
}


def refusal(operation: Operation, committed: Committed) -> ReverieError | None:
    """Why an operation was not done; None if it was, now or before."""
    result = committed.result
    if result.status == WriteStatus.WRITE_STATUS_ERASED and not operation.change.HasField("create"):
        # Whoever does not create sees an erased user as one without memories.
        return MemoryNotFound()
    return create_refusal(result)


def create_refusal(result: WriteResult) -> ReverieError | None:
    """The same of a create."""
    if result.status in _DONE:
        return None
    return _REFUSALS.get(result.status, InternalError)(result.detail)


def fill_created(memory: Memory, operation: Operation, committed: Committed) -> None:
    """Makes `memory` the one that a create made or found."""
    if committed.result.status == WriteStatus.WRITE_STATUS_ALREADY_THERE:
        memory.CopyFrom(committed.result.memory)
        return
    memory.CopyFrom(operation.change.create.content.memory)
    memory.create_time.CopyFrom(committed.commit_time)
    _identify(memory, operation, committed)


def fill_updated(memory: Memory, before: Memory, operation: Operation, committed: Committed) -> None:
    """Makes `memory` the one that an update made or found; `before` is what it started from."""
    if committed.result.status == WriteStatus.WRITE_STATUS_ALREADY_THERE:
        memory.CopyFrom(committed.result.memory)
        return
    memory.CopyFrom(operation.change.update.content.memory)
    memory.create_time.CopyFrom(before.create_time)
    memory.update_time.CopyFrom(committed.commit_time)
    _identify(memory, operation, committed)


def item_error(error: ReverieError) -> ItemError:
    """An error as a batch says it about one item."""
    return ItemError(
        code=error.code.value[0],
        reason=error.reason,
        message=error.message,
        field_violations=[
            FieldViolation(field=field, description=description) for field, description in error.violations
        ],
    )


def _identify(memory: Memory, operation: Operation, committed: Committed) -> None:
    memory.name = _name(operation)
    memory.revision = committed.result.revision
    memory.etag = names.etag(committed.result.revision)


def _name(operation: Operation) -> str:
    return names.memory_name(operation.owner.user, UUID(bytes=operation.change.id))
