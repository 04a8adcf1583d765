"""Natural batching: what arrives while a batch is in flight becomes the next one.

A `Lane` is a pure state machine: no clock, no tasks. Callers `submit` operations and get a ticket for each;
whoever drives the lane `take`s a batch, sends it, and says what became of it by `finish`.

* One batch is in flight at a time, with at most `MAX_ROWS` operations and `MAX_BYTES` bytes.
* A batch has at most one operation for an owner and id. One that is identical to one that waits shares its
  place and its outcome; any other one waits for a later batch, behind those before it.
* Each ticket gets one outcome, unless its caller left before: then it is told whether anything may have
  happened.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.storage.v1 import write_pb2
from services.runtime.errors import (
    DeadlineExceeded,
    DeadlineTooShort,
    InternalError,
    PeerUnavailable,
    ReverieError,
    TooLarge,
    UnknownOutcome,
)

MAX_ROWS = 256
MAX_BYTES = 1024 * 1024

FIRST_PAUSE = 0.02
"""Seconds before a batch is sent again; doubles each time."""

LONGEST_PAUSE = 0.5

FRAME = 16
"""Bytes that an operation, or an owner, takes in a batch beyond its own: tags, lengths, numbers."""

_DOUBTFUL = (UnknownOutcome, PeerUnavailable, DeadlineExceeded, TooLarge)
"""After these a batch may have been committed. Too large is the answer: a batch has limits of its own."""

_LASTING = (InternalError, TooLarge)
"""The same batch would meet these again."""

Caller = TypeVar("Caller")


class Owner(NamedTuple):
    """Whose memory an operation changes."""

    owner: bytes
    """16 bytes."""
    tenant: bytes
    """16 bytes."""
    user: str


class Operation:
    """A change of one memory, ready to be sent."""

    __slots__ = ("change", "identity", "key", "owner", "size")

    def __init__(self, owner: Owner, change: write_pb2.WriteOperation, identity: bytes) -> None:
        self.owner = owner
        self.change = change
        self.identity = identity
        """Two operations on a memory are the same if their identities are equal."""
        self.key = owner.owner + change.id
        self.size = change.ByteSize() + FRAME


class Committed(NamedTuple):
    """An answer of the database about an operation."""

    result: write_pb2.WriteResult
    commit_time: Timestamp
    lineage: bytes
    owner_revision: int


Outcome = Committed | ReverieError


class Ticket(Generic[Caller]):
    """A caller's share in an operation."""

    __slots__ = ("caller", "deadline", "entry")

    def __init__(self, entry: "Entry[Caller]", caller: Caller, deadline: float) -> None:
        self.entry: Entry[Caller] | None = entry
        """Its place in the lane; None once it has its outcome, or has left."""
        self.caller = caller
        self.deadline = deadline


class Entry(Generic[Caller]):
    """An operation in a lane, with everyone who waits for it."""

    __slots__ = ("operation", "sent", "tickets")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.tickets: list[Ticket[Caller]] = []
        self.sent = False


class Attempts(ABC):
    """A request that is sent as often as it takes, and what its attempts have shown."""

    __slots__ = ("attempts", "doubtful", "owner_indices", "request")

    def __init__(self, request: write_pb2.WriteBatchRequest) -> None:
        self.request = request
        self.owner_indices: dict[bytes, int] = {}
        self.attempts = 0
        self.doubtful = False
        """Whether an attempt ended without saying what had happened."""

    @property
    @abstractmethod
    def deadline(self) -> float | None:
        """The latest deadline of those who still wait; None if nobody does."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many operations it has."""

    def index_of(self, owner: Owner) -> int:
        """The owner's place in the request; it is put there if it has none."""
        index = self.owner_indices.get(owner.owner)
        if index is None:
            index = self.owner_indices[owner.owner] = len(self.owner_indices)
            self.request.owners.add(owner=owner.owner, tenant=owner.tenant, user=owner.user)
        return index

    def failed(self, error: ReverieError, now: float) -> float | None:
        """Seconds until the request is sent again; None if it is over: then its callers hear the `verdict`.

        It is sent again only while somebody waits and what happened is in doubt: a second loop over plain
        failures would multiply the proxies' and the clients'.
        """
        self.doubtful = self.doubtful or isinstance(error, _DOUBTFUL)
        pause: float = min(FIRST_PAUSE * 2 ** min(self.attempts, 16), LONGEST_PAUSE)
        self.attempts += 1
        deadline = self.deadline
        if isinstance(error, _LASTING) or not self.doubtful or deadline is None or now + pause >= deadline:
            return None
        return pause

    def verdict(self, error: ReverieError) -> ReverieError:
        """What callers are told when the last attempt ended so."""
        return UnknownOutcome() if self.doubtful else error

    def check(self, response: write_pb2.WriteBatchResponse) -> None:
        """ValueError if the response does not fit the request."""
        results = 0 if response.all_written and self.request.brief else self.rows
        if len(response.results) != results or len(response.owner_revisions) != len(self.owner_indices):
            raise ValueError("storage answered for another number of operations or owners than it was sent")


class Batch(Attempts, Generic[Caller]):
    """Operations that are sent together, as often as it takes."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        super().__init__(write_pb2.WriteBatchRequest())
        self.entries: list[Entry[Caller]] = []

    @property
    def deadline(self) -> float | None:
        """The latest deadline of those who still wait; None if nobody does."""
        return max((ticket.deadline for entry in self.entries for ticket in entry.tickets), default=None)

    @property
    def rows(self) -> int:
        """How many operations it has."""
        return len(self.entries)

    def add(self, entry: Entry[Caller]) -> None:
        """Puts an operation in."""
        entry.sent = True
        self.entries.append(entry)
        operation = self.request.operations.add()
        operation.CopyFrom(entry.operation.change)
        operation.owner_index = self.index_of(entry.operation.owner)

    def size_of(self, operation: Operation) -> int:
        """How much larger the batch would be with this operation, in bytes; rather too many than too few."""
        if operation.owner.owner in self.owner_indices:
            return operation.size
        return operation.size + 2 * FRAME + len(operation.owner.user) + FRAME


class Lane(Generic[Caller]):
    """A queue of operations and the batch in flight."""

    def __init__(self) -> None:
        # The first of each memory; those behind it come forward one batch at a time.
        self._heads: OrderedDict[bytes, Entry[Caller]] = OrderedDict()
        self._behind: dict[bytes, deque[Entry[Caller]]] = {}
        self._alike: dict[tuple[bytes, bytes], Entry[Caller]] = {}
        self._in_flight: Batch[Caller] | None = None

    def submit(self, operation: Operation, caller: Caller, deadline: float) -> Ticket[Caller]:
        """Queues an operation, or joins an identical one that waits."""
        alike = (operation.key, operation.identity)
        entry = self._alike.get(alike)
        if entry is None:
            entry = self._alike[alike] = Entry(operation)
            self._queue(entry)
        ticket = Ticket(entry, caller, deadline)
        entry.tickets.append(ticket)
        return ticket

    def leave(self, ticket: Ticket[Caller]) -> ReverieError | None:
        """Takes a caller out, and says what it is to be told; None if it had its outcome.

        The others who wait for the same operation, and its batch, are not touched.
        """
        entry = ticket.entry
        if entry is None:
            return None
        self._part(entry, ticket)
        if entry.sent:
            return UnknownOutcome()
        if not entry.tickets:
            self._remove(entry)
        return DeadlineTooShort("the write was still waiting for its turn; nothing was done")

    def take(self) -> Batch[Caller] | None:
        """The next batch; None while one is in flight, or if nothing waits."""
        if self._in_flight is not None or not self._heads:
            return None
        batch = self._in_flight = Batch()
        room = MAX_BYTES
        while self._heads and len(batch.entries) < MAX_ROWS:
            operation = next(iter(self._heads.values())).operation
            room -= batch.size_of(operation)
            if room < 0 and batch.entries:
                break
            batch.add(self._pop())
        for entry in batch.entries:
            self._promote(entry.operation.key)
        return batch

    def finish(self, batch: Batch[Caller], outcomes: Iterable[Outcome]) -> Iterator[tuple[Caller, Outcome]]:
        """Ends the batch in flight with an outcome for each of its operations: what to tell whom."""
        self._in_flight = None
        told: list[tuple[Caller, Outcome]] = []
        for entry, outcome in zip(batch.entries, outcomes, strict=True):
            for ticket in entry.tickets:
                ticket.entry = None
                told.append((ticket.caller, outcome))
            entry.tickets = []
        return iter(told)

    def _queue(self, entry: Entry[Caller]) -> None:
        key = entry.operation.key
        if key in self._heads:
            self._behind.setdefault(key, deque()).append(entry)
        else:
            self._heads[key] = entry

    def _pop(self) -> Entry[Caller]:
        _, entry = self._heads.popitem(last=False)
        del self._alike[entry.operation.key, entry.operation.identity]
        return entry

    def _promote(self, key: bytes) -> None:
        waiting = self._behind.get(key)
        if not waiting:
            return
        self._heads[key] = waiting.popleft()
        if not waiting:
            del self._behind[key]

    def _part(self, entry: Entry[Caller], ticket: Ticket[Caller]) -> None:
        ticket.entry = None
        entry.tickets.remove(ticket)

    def _remove(self, entry: Entry[Caller]) -> None:
        key = entry.operation.key
        del self._alike[key, entry.operation.identity]
        if self._heads[key] is entry:
            del self._heads[key]
            self._promote(key)
        else:
            self._behind[key].remove(entry)
            if not self._behind[key]:
                del self._behind[key]


def _committed(result: write_pb2.WriteResult, response: write_pb2.WriteBatchResponse) -> Timestamp:
    return result.commit_time if result.HasField("commit_time") else response.commit_time


def outcomes(batch: Batch[Caller], answer: write_pb2.WriteBatchResponse | ReverieError) -> Sequence[Outcome]:
    """One outcome for each operation of a batch, by an answer that fits it or an error that is the last."""
    if isinstance(answer, ReverieError):
        return [batch.verdict(answer)] * len(batch.entries)
    revisions = answer.owner_revisions
    return [
        Committed(result, _committed(result, answer), answer.lineage, revisions[operation.owner_index])
        for result, operation in zip(answer.results, batch.request.operations, strict=True)
    ]
