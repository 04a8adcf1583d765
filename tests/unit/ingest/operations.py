"""Operations and answers of storage for tests."""

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.storage.v1.write_pb2 import WriteBatchRequest, WriteBatchResponse, WriteOperation, WriteStatus
from services.ingest.lane import Operation, Owner


def owner(number: int, user: str) -> Owner:
    """An owner."""
    return Owner(number.to_bytes(16), b"t" * 16, user)


def operation(of: int = 1, memory: int = 1, body: str = "a", size: int = 0, user: str = "ines") -> Operation:
    """A create of a memory, whose identity is its body."""
    change = WriteOperation(id=memory.to_bytes(16))
    change.create.content.memory.text = body + "x" * size
    return Operation(owner(of, user), change, body.encode())


def written(request: WriteBatchRequest, revision: int = 1) -> WriteBatchResponse:
    """The answer that everything in a batch was done."""
    response = WriteBatchResponse(commit_time=Timestamp(seconds=revision), lineage=b"lineage")
    response.owner_revisions.extend([revision] * len(request.owners))
    for _ in request.operations:
        response.results.add(status=WriteStatus.WRITE_STATUS_WRITTEN, revision=revision)
    return response
