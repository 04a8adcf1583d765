"""What clients sent and what they were told: kept on their side, where the platform can't touch it.

    operation = journal.begin("ada", id, Kind.CREATE, digest_of(message), mark_of(message), now)
    journal.end(operation, Outcome.OK, now)

Times are seconds of one clock. Operations on one memory come one after the other, and each but the first
names the state it starts from (an etag), so one that arrives late changes nothing.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from reverie.memory.v1 import memory_pb2

_DIGEST_BYTES = 16
_OUTPUT_ONLY = ("name", "revision", "etag", "create_time", "update_time", "analysis")


class Kind(StrEnum):
    """What an operation does to its memory."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Outcome(StrEnum):
    """What the client was told."""

    OK = "ok"
    REFUSED = "refused"
    """It did not happen, and will not."""
    UNKNOWN = "unknown"
    """It may have happened or not, never half. Also what is still under way."""


@dataclass(slots=True)
class Operation:
    """One operation on one memory."""

    kind: Kind
    digest: bytes | None
    """Of the state that it leaves; None: nothing is there then."""
    sent: float
    outcome: Outcome = Outcome.UNKNOWN
    ended: float | None = None


@dataclass(slots=True)
class History:
    """Everything that was sent about one memory, in order."""

    user: str
    id: UUID
    mark: str
    """What tells it from every other memory wherever its content stands: see `mark_of`."""
    operations: list[Operation] = field(default_factory=list)

    @property
    def promised(self) -> int:
        """The place of the last operation that was acknowledged; -1 if none was."""
        places = range(len(self.operations) - 1, -1, -1)
        return next((place for place in places if self.operations[place].outcome is Outcome.OK), -1)

    def states_since(self, promised: int) -> Iterator[bytes | None]:
        """The states that may be there once that operation is acknowledged; None: nothing is there."""
        yield self.operations[promised].digest if promised >= 0 else None
        for operation in self.operations[promised + 1 :]:
            if operation.outcome is not Outcome.REFUSED:
                yield operation.digest


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a read that carried a token showed of a memory."""

    id: UUID
    promised: int
    """The place of the last operation that the token promises; -1: none."""
    digest: bytes | None
    """None: it was not shown."""
    at: float


class Journal:
    """The account of one drill, for any number of users."""

    def __init__(self) -> None:
        self.histories: dict[UUID, History] = {}
        self.sightings: list[Sighting] = []

    def begin(
        self, user: str, id_: UUID, kind: Kind, digest: bytes | None, mark: str, now: float
    ) -> Operation:
        """Notes an operation before it is sent: until its end is noted nobody knows whether it happened."""
        operation = Operation(kind, digest, now)
        self.histories.setdefault(id_, History(user, id_, mark)).operations.append(operation)
        return operation

    def end(self, operation: Operation, outcome: Outcome, now: float) -> None:
        """Notes what the client was told of it."""
        operation.outcome, operation.ended = outcome, now

    def promised(self, id_: UUID) -> int:
        """What a token that is taken now promises about a memory."""
        return self.histories[id_].promised

    def saw(self, id_: UUID, promised: int, digest: bytes | None, now: float) -> None:
        """Notes what a read with a token showed; `promised` is from before it was sent."""
        self.sightings.append(Sighting(id_, promised, digest, now))

    def of(self, user: str) -> Iterator[History]:
        """The histories of one user's memories."""
        return (history for history in self.histories.values() if history.user == user)


def digest_of(message: memory_pb2.Memory) -> bytes:
    """The digest of everything in a memory that a client sets, and nothing else."""
    content = memory_pb2.Memory()
    content.CopyFrom(message)
    for name in _OUTPUT_ONLY:
        content.ClearField(name)
    return hashlib.blake2b(content.SerializeToString(deterministic=True), digest_size=_DIGEST_BYTES).digest()


def mark_of(message: memory_pb2.Memory) -> str:
    """Where a memory comes from: one place of one conversation, which no change touches."""
    return f"{message.source.conversation}/{message.source.position}"
