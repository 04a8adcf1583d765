"""What a bench gives the database raw: the operations that ingest would send, and rows to COPY."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from reverie.storage.v1 import write_pb2
from reverie_client import NewMemory
from reverie_client.content import to_message
from services.ingest.content import fill
from services.ingest.fingerprint import fingerprint
from services.runtime import names
from services.storage.batch import Batch, Operation

MEMORY_COLUMNS = (
    "owner", "id", "revision", "occurred_at", "occurred_offset", "occurred_precision", "local_day", "kind",
    "traits", "analyzer", "fingerprint", "terms", "text", "conversation", "speaker", "position",
)  # fmt: skip
DUE_COLUMNS = ("owner", "id", "stage", "model", "memory_revision")

Rows = Sequence[tuple[Any, ...]]


def operations(memories: Iterable[NewMemory], tenant: UUID, user: str) -> Iterator[Operation]:
    """The creates of a user's memories, as storage reads them."""
    for batch in batches(memories, tenant, user):
        yield from (operation for _, operation in batch.operations())


def batches(memories: Iterable[NewMemory], tenant: UUID, user: str) -> Iterator[Batch]:
    """The same, each as a batch of its own."""
    owner = names.owner_of(tenant, user)
    for new in memories:
        request = write_pb2.WriteBatchRequest(
            owners=[write_pb2.BatchOwner(owner=owner.bytes, tenant=tenant.bytes, user=user)]
        )
        operation = request.operations.add(id=id_of(new).bytes)
        message = to_message(new)
        fill(operation.create.content, message)
        operation.create.fingerprint = fingerprint(operation.create.content.memory)
        yield Batch.of(request)


def copied(owner: UUID, created: Iterable[Operation]) -> tuple[Rows, Rows]:
    """The rows of `memories` and of `analysis_due` that stand for creates."""
    revision = 2**40
    memories = [
        (owner, op.id, revision, op.occurred_at, op.occurred_offset, op.occurred_precision, op.local_day,
         op.kind, op.traits, op.analyzer, op.fingerprint, op.terms, op.text, op.conversation, op.speaker,
         op.position)
        for op in created
    ]  # fmt: skip
    return memories, [(owner, row[1], 1, 1, revision) for row in memories]


def copy_statements() -> list[str]:
    """The SQL of a raw COPY."""
    return [
        f"COPY memories ({', '.join(MEMORY_COLUMNS)}) FROM STDIN (FORMAT binary)",
        f"COPY analysis_due ({', '.join(DUE_COLUMNS)}) FROM STDIN (FORMAT binary)",
    ]


def id_of(new: NewMemory) -> UUID:
    """The id of a memory of the corpus, all of which have one."""
    if new.id is None:
        raise ValueError("the corpus mints every id")
    return new.id
