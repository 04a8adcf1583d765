"""A batch of writes: checked, in the order of owners, as the arrays that the database takes.

Pure. A batch can be split: each half is a batch of its own, and says where its operations stood in the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from reverie.storage.v1 import write_pb2
from services.runtime.errors import InvalidArgument, Violation
from services.storage import creates, records

MAX_OPERATIONS = 1_000

CREATE, UPDATE, DELETE = creates.CREATE, 1, 2
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
    """Operations to commit together, column by column, each with its place in the request."""

    places: Sequence[int]
    columns: tuple[list[Any], ...]
    """A list for each field of `Operation`, in their order."""
    whole: bool = True
    """Whether it is all of a request."""

    @classmethod
    def of(cls, request: write_pb2.WriteBatchRequest) -> "Batch":
        """The batch of a request. InvalidArgument, naming every broken field, if its shape is wrong."""
        broken = [*_broken(request)]
        if broken:
            raise InvalidArgument.collected(broken)
        owners = [Owner(owner.owner, owner.tenant, owner.user) for owner in request.owners]
        if request.HasField("creates"):
            return cls.made_of(creates.columns(request.creates, owners))
        rows = (_operation(owners[item.owner_index], item) for item in request.operations)
        return cls.made_of(tuple([*column] for column in zip(*rows, strict=True)))

    @classmethod
    def made_of(cls, columns: tuple[list[Any], ...]) -> "Batch":
        """A whole batch."""
        return cls(range(len(columns[0])), columns)

    def __len__(self) -> int:
        return len(self.places)

    def operations(self) -> Iterator[tuple[int, Operation]]:
        """Each operation, with its place in the request."""
        return zip(self.places, map(Operation._make, zip(*self.columns, strict=True)), strict=True)

    def keys(self) -> Iterator[tuple[int, Owner, UUID]]:
        """What each operation is, whose memory it changes, and which."""
        return zip(*self.columns[:3], strict=True)

    def halves(self) -> "tuple[Batch, Batch]":
        """Two batches that are this one together."""
        middle = len(self) // 2
        return self._cut(slice(None, middle)), self._cut(slice(middle, None))

    def _cut(self, part: slice) -> "Batch":
        return Batch(self.places[part], tuple(column[part] for column in self.columns), whole=False)

    def owners(self) -> list[Owner]:
        """The owners, each once, in the order in which they are locked."""
        return sorted({*self.columns[1]})

    def creates_of_one_owner(self) -> bool:
        """Whether it has nothing else."""
        return not any(self.columns[0]) and len(self.owners()) == 1

    def arguments(self) -> list[Any]:
        """The arguments of the write function."""
        owners = self.owners()
        places = {owner: place for place, owner in enumerate(owners, start=1)}
        ops, of, *_ = self.columns
        return [
            [records.id_of(owner.owner) for owner in owners],
            [records.id_of(owner.tenant) for owner in owners],
            [owner.user for owner in owners],
            [place for place, op in enumerate(ops, start=1) if op != CREATE],
            ops,
            [places[owner] for owner in of],
            *self._from_ids_on(),
        ]

    def create_arguments(self) -> list[Any]:
        """The arguments of the function that creates many memories of one owner."""
        (owner,) = self.owners()
        ids, _from_revision, *content = self._from_ids_on()
        return [records.id_of(owner.owner), records.id_of(owner.tenant), owner.user, ids, *content]

    def _from_ids_on(self) -> Iterator[list[Any] | None]:
        nothing = [None] * len(self)
        return (column if column != nothing else None for column in self.columns[2:])


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
    until, *rare = creates.rare_fields(memory)
    return Operation(
        op,
        owner,
        id_,
        revision,
        occurred_at,
        until,
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
        *rare,
    )


def _broken(request: write_pb2.WriteBatchRequest) -> Iterator[Violation]:
    has_creates = request.HasField("creates")
    if has_creates and request.operations:
        yield Violation("operations", "has no entry beside `creates`")
        return
    if not has_creates and not 1 <= len(request.operations) <= MAX_OPERATIONS:
        yield Violation("operations", f"has 1 to {MAX_OPERATIONS} entries")
        return
    for at, owner in enumerate(request.owners):
        if len(owner.owner) != 16 or len(owner.tenant) != 16:
            yield Violation(f"owners[{at}]", "has an owner and a tenant of 16 bytes")
    if len({owner.owner for owner in request.owners}) < len(request.owners):
        yield Violation("owners", "names each owner once")
    if has_creates:
        yield from creates.broken(request.creates, len(request.owners), MAX_OPERATIONS)
    else:
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
