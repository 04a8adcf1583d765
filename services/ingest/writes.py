"""From requests to operations: checked, with an id, a fingerprint and terms."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from reverie.ingest.v1.ingest_pb2 import CreateMemoryRequest
from reverie.memory.v1.memory_pb2 import Memory
from reverie.storage.v1.write_pb2 import WriteOperation
from services.ingest import ids, validation
from services.ingest.content import fill
from services.ingest.fingerprint import fingerprint
from services.ingest.lane import Operation, Owner
from services.runtime.errors import InvalidArgument, Violation

NO_REVISION = -1
"""No memory is ever at this revision: what starts from it changes nothing, but hears what is there."""


class Origin(NamedTuple):
    """What the edge stamped on a call: from it come the ids of memories whose client named none."""

    request_id: str
    received_at_ms: int


def broken(request: CreateMemoryRequest, origin: Origin | None, now: datetime) -> list[Violation]:
    """Every limit that a create breaks, but for its parent's."""
    found = validation.violations(request.memory)
    if request.memory_id:
        if ids.parse_id(request.memory_id, now) is None:
            found.append(Violation("memory_id", ids.LIMIT))
    elif origin is None:
        found.append(Violation("memory_id", "is required on calls that do not come through the edge"))
    return found


def create(
    owner: Owner, request: CreateMemoryRequest, origin: Origin | None, index: int, now: datetime
) -> Operation:
    """The create that item `index` of a call asks for. InvalidArgument, with every broken field."""
    found = broken(request, origin, now)
    if found:
        raise InvalidArgument.collected(found)
    change = WriteOperation(id=_memory_id(request, origin, index))
    create = change.create
    fill(create.content, request.memory)
    mark = create.fingerprint = fingerprint(create.content.memory)
    return Operation(owner, change, b"create" + mark)


def update(owner: Owner, memory_id: UUID, memory: Memory, from_revision: int) -> Operation:
    """The update that leaves a memory as given, with defaults filled in; it is acceptable."""
    change = WriteOperation(id=memory_id.bytes)
    change.update.from_revision = from_revision
    fill(change.update.content, memory)
    return Operation(owner, change, b"update%d" % from_revision + fingerprint(change.update.content.memory))


def delete(owner: Owner, memory_id: UUID, from_revision: int) -> Operation:
    """The delete of a memory at a revision; 0: at any."""
    change = WriteOperation(id=memory_id.bytes)
    change.delete.from_revision = from_revision
    return Operation(owner, change, b"delete%d" % from_revision)


def _memory_id(request: CreateMemoryRequest, origin: Origin | None, index: int) -> bytes:
    if request.memory_id or origin is None:
        return ids.to_bytes(request.memory_id)
    return ids.derived_id(origin.request_id, origin.received_at_ms, index).bytes
