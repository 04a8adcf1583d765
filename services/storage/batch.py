"""A batch of writes: checked, in the order of owners, as the arrays that the database takes.

Pure. A batch can be split: each half is a batch of its own, and says where its operations stood in the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from reverie.storage.v1 import write_pb2
from services.runtime.errors import InvalidArgument, Violation
from services.storage import records

MAX_OPERATIONS = 1_000

CREATE, UPDATE, DELETE = 0, 1, 2
"""Operations, as the write function numbers them."""


class Owner(NamedTuple):
    """An owner of a batch. Sorts as the database sorts owners: by its 16 bytes."""

    owner: bytes
    tenant: bytes
    user: str


class Operation(NamedTuple):
    """One row of the write function's arrays, in their order. Of a delete most is None."""

    op: int
    owner: Owner
    id: UUID
    from_revision: int | None
    occurred_at: int | None = None
    occurred_until: int | None = None
    occurred_offset: int | None = None
    occurred_precision: int | None = None
    local_day: int | None = None
    kind: int | None = None
    traits: int | None = None
    analyzer: int | None = None
    fingerprint: bytes | None = None
    terms: bytes | None = None
    text: str | None = None
    conversation: str | None = None
    speaker: str | None = None
    position: int | None = None
    language: str | None = None
    place: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    labels: str | None = None
    people: str | None = None
    attachments: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations to commit together, each with its place in the request."""

    operations: tuple[tuple[int, Operation], ...]

    @classmethod
    def of(cls, request: write_pb2.WriteBatchRequest) -> "Batch":
        """The batch of a request. InvalidArgument, naming every broken field, if its shape is wrong."""
        broken = [*_broken(request)]
        if broken:
            raise InvalidArgument.collected(broken)
        owners = [Owner(owner.owner, owner.tenant, owner.user) for owner in request.owners]
        operations = ((owners[item.owner_index], item) for item in request.operations)
        return cls(tuple(enumerate(_operation(owner, item) for owner, item in operations)))

    def __len__(self) -> int:
        return len(self.operations)

    def halves(self) -> "tuple[Batch, Batch]":
        """Two batches that are this one together."""
        middle = len(self.operations) // 2
        return Batch(self.operations[:middle]), Batch(self.operations[middle:])

    def owners(self) -> list[Owner]:
        """The owners, each once, in the order in which they are locked."""
        return sorted({operation.owner for _, operation in self.operations})

    def arguments(self) -> list[Any]:
        """The arguments of the write function."""
        owners = self.owners()
        places = {owner: place for place, owner in enumerate(owners, start=1)}
        columns = [list(column) for column in zip(*(row for _, row in self.operations), strict=True)]
        columns[1] = [places[owner] for owner in columns[1]]
        changes = [place for place, op in enumerate(columns[0], start=1) if op != CREATE]
        return [
            [records.id_of(owner.owner) for owner in owners],
            [records.id_of(owner.tenant) for owner in owners],
            [owner.user for owner in owners],
            changes,
            *columns[:4],
            *(column if column.count(None) < len(column) else None for column in columns[4:]),
        ]


def _operation(owner: Owner, item: write_pb2.WriteOperation) -> Operation:
    id_ = records.id_of(item.id)
    match item.WhichOneof("change"):
        case "create":
            return _written(CREATE, owner, id_, None, item.create.content, item.create.fingerprint)
        case "update":
            return _written(UPDATE, owner, id_, item.update.from_revision, item.update.content, None)
        case _:
            return Operation(DELETE, owner, id_, item.delete.from_revision or None)


def _written(
    op: int,
    owner: Owner,
    id_: UUID,
    revision: int | None,
    content: write_pb2.Content,
    fingerprint: bytes | None,
) -> Operation:
    memory = content.memory
    occurred_at = records.microseconds(memory.occurred_at)
    has_offset = memory.HasField("occurred_utc_offset")
    offset = records.whole_minutes(memory.occurred_utc_offset) if has_offset else 0
    has_source, source = memory.HasField("source"), memory.source
    has_place, place = memory.HasField("place"), memory.place
    return Operation(
        op,
        owner,
        id_,
        revision,
        occurred_at,
        records.microseconds(memory.occurred_until) if memory.HasField("occurred_until") else None,
        offset if has_offset else None,
        memory.occurred_precision,
        records.local_day(occurred_at, offset, memory.occurred_precision),
        memory.kind,
        content.traits,
        content.analyzer,
        fingerprint,
        content.terms,
        memory.text,
        source.conversation if has_source else None,
        source.speaker or None if has_source else None,
        source.position if has_source else None,
        memory.language or None,
        place.name if has_place else None,
        place.latitude if has_place and place.HasField("latitude") else None,
        place.longitude if has_place and place.HasField("longitude") else None,
        records.array_literal(memory.labels),
        records.array_literal(memory.people),
        records.attachments_json(memory.attachments),
    )


def _broken(request: write_pb2.WriteBatchRequest) -> Iterator[Violation]:
    if not 1 <= len(request.operations) <= MAX_OPERATIONS:
        yield Violation("operations", f"has 1 to {MAX_OPERATIONS} entries")
        return
    for at, owner in enumerate(request.owners):
        if len(owner.owner) != 16 or len(owner.tenant) != 16:
            yield Violation(f"owners[{at}]", "has an owner and a tenant of 16 bytes")
    if len({owner.owner for owner in request.owners}) < len(request.owners):
        yield Violation("owners", "names each owner once")
    yield from _broken_operations(request.operations, len(request.owners))


def _broken_operations(operations: Sequence[write_pb2.WriteOperation], owners: int) -> Iterator[Violation]:
    seen = set()
    for at, item in enumerate(operations):
        if not 0 <= item.owner_index < owners:
            yield Violation(f"operations[{at}].owner_index", f"is 0 to {owners - 1}")
        if len(item.id) != 16:
            yield Violation(f"operations[{at}].id", "has 16 bytes")
        if item.WhichOneof("change") is None:
            yield Violation(f"operations[{at}].change", "is a create, an update or a delete")
        seen.add((item.owner_index, item.id))
    if len(seen) < len(operations):
        yield Violation("operations", "has at most one for each owner and id")
