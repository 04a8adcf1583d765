"""Bulk: creates that come by the hundred, as rows, in batches of their own that no single write shares.

A `BulkLane` is a pure state machine: no clock, no tasks. Callers `submit` groups of rows of one owner;
whoever drives the lane `take`s batches, sends them, and says what became of them by `finish`.

* At most `IN_FLIGHT` batches are in flight, of at most `MAX_ROWS` rows and `MAX_BYTES` bytes: while the
  database writes one, storage unpacks the other. What arrives meanwhile becomes the next batch.
* Batches in flight have at most one row for an owner and id; a second one waits.
* What is counted, kept and told is groups and parts of them, not rows: of those there are many.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from reverie.storage.v1 import write_pb2
from services.ingest.lane import Attempts, Owner
from services.ingest.rows import Row, put, put_operation
from services.runtime.errors import DeadlineTooShort, InvalidArgument, ReverieError, UnknownOutcome

MAX_ROWS = 512
MAX_BYTES = 1024 * 1024

IN_FLIGHT = 2
WORTH_ANOTHER = 256
"""Rows that have to wait before they go as a batch beside another one: few are cheaper in the next one."""

BulkOutcome = write_pb2.WriteResult | ReverieError
"""What the database says of one row, or why it could not be asked."""


class State(NamedTuple):
    """A state of an owner that shows what was committed."""

    lineage: bytes
    owner_revision: int


def newest(one: State | None, other: State | None) -> State | None:
    """The one that shows more."""
    if one is None or other is None:
        return one or other
    return one if one.owner_revision >= other.owner_revision else other


class Group:
    """Rows of one owner that were brought together. They are answered part by part, in any order."""

    __slots__ = ("deadline", "left", "outcomes", "owner", "rows", "sent", "state", "told", "unanswered")

    def __init__(
        self, owner: Owner, rows: Sequence[Row], deadline: float, told: Callable[["Part"], None]
    ) -> None:
        self.owner = owner
        self.rows = rows
        self.deadline = deadline
        self.told = told
        """Hears of each part that has its outcomes."""
        self.outcomes: list[BulkOutcome | None] = [None] * len(rows)
        self.sent = bytearray(len(rows))
        """Not zero for what is, or was, in a batch."""
        self.unanswered = len(rows)
        self.left = False
        """Whether nobody waits for it any more."""
        self.state: State | None = None
        """The newest one that shows what was committed of it; None if nothing was."""


class Part(NamedTuple):
    """Rows of a group that lie side by side."""

    group: Group
    start: int
    stop: int

    @property
    def rows(self) -> Sequence[Row]:
        """Its rows."""
        return self.group.rows[self.start : self.stop]

    @property
    def outcomes(self) -> Sequence[BulkOutcome | None]:
        """Their outcomes; None where there is none yet."""
        return self.group.outcomes[self.start : self.stop]

    @property
    def outcome(self) -> BulkOutcome | None:
        """The outcome that all of them have; None if there is no such one."""
        outcomes = self.outcomes
        first = outcomes[0]
        return first if outcomes.count(first) == len(outcomes) else None


class BulkBatch(Attempts):
    """Parts that are sent together, as often as it takes."""

    def __init__(self) -> None:
        super().__init__(write_pb2.WriteBatchRequest(without_memories=True, brief=True))
        self.parts: list[Part] = []
        self.keys: set[bytes] = set()

    @property
    def deadline(self) -> float | None:
        """The latest deadline of those who still wait; None if nobody does."""
        return max((part.group.deadline for part in self.parts if not part.group.left), default=None)

    @property
    def rows(self) -> int:
        """How many creates it has."""
        return len(self.keys)

    def add(self, part: Part) -> None:
        """Puts a part in, whose keys are in already."""
        self.parts.append(part)
        part.group.sent[part.start : part.stop] = b"\1" * (part.stop - part.start)
        self.index_of(part.group.owner)

    def seal(self) -> None:
        """Fills the request: nothing more is put in."""
        creates = self.request.creates
        put(creates, [row for part in self.parts for row in part.rows])
        if len(self.owner_indices) > 1:
            for part in self.parts:
                creates.owner_indices.extend([self.index_of(part.group.owner)] * len(part.rows))

    def failed(self, error: ReverieError, now: float) -> float | None:
        """Seconds until the request is sent again; None if it is over: then its callers hear the `verdict`.

        Storage of the version before refuses columns: then it is sent again as operations.
        """
        if isinstance(error, InvalidArgument) and self.request.HasField("creates"):
            self._as_operations()
            return 0.0
        return super().failed(error, now)

    def _as_operations(self) -> None:
        self.request.ClearField("creates")
        for part in self.parts:
            index = self.index_of(part.group.owner)
            for row in part.rows:
                put_operation(self.request.operations.add(owner_index=index), row)


class BulkLane:
    """Groups that wait, and the batches in flight."""

    def __init__(self) -> None:
        self._waiting: deque[Part] = deque()
        self._rows = 0
        self._in_flight: list[BulkBatch] = []

    def submit(self, group: Group) -> None:
        """Queues a group behind those before it."""
        if group.rows:
            self._waiting.append(Part(group, 0, len(group.rows)))
            self._rows += len(group.rows)

    def leave(self, group: Group) -> None:
        """Tells a group nothing more, and sends nothing more of it."""
        group.left = True
        # Who is told holds the group: a circle that would keep its rows until the collector of cycles comes.
        group.told = _nobody

    def expire(self, group: Group) -> None:
        """Answers what has no outcome: unknown if it was sent, else that nothing was done."""
        if group.left:
            return
        group.left = True
        for part, sent in _unanswered(group):
            rows = part.stop - part.start
            group.outcomes[part.start : part.stop] = [UnknownOutcome() if sent else _never_sent()] * rows
            group.unanswered -= rows
            group.told(part)

    def take(self) -> BulkBatch | None:
        """The next batch; None while enough are in flight, or if nothing waits that may be sent."""
        if len(self._in_flight) >= IN_FLIGHT or (self._in_flight and self._rows < WORTH_ANOTHER):
            return None
        batch = BulkBatch()
        self._fill(batch)
        if not batch.parts:
            return None
        batch.seal()
        self._in_flight.append(batch)
        return batch

    def finish(self, batch: BulkBatch, answer: write_pb2.WriteBatchResponse | ReverieError) -> None:
        """Ends a batch: each of its groups is told its part. An answer `fits` the batch."""
        self._in_flight.remove(batch)
        at = 0
        for part in batch.parts:
            rows = part.stop - part.start
            if not part.group.left:
                self._answer(part, batch, answer, at)
            at += rows

    def _answer(
        self, part: Part, batch: BulkBatch, answer: write_pb2.WriteBatchResponse | ReverieError, at: int
    ) -> None:
        group, rows = part.group, part.stop - part.start
        if isinstance(answer, ReverieError):
            group.outcomes[part.start : part.stop] = [batch.verdict(answer)] * rows
        else:
            revision = answer.owner_revisions[batch.index_of(group.owner)]
            outcomes = [_written(revision)] * rows if answer.all_written else answer.results[at : at + rows]
            group.outcomes[part.start : part.stop] = outcomes
            group.state = newest(group.state, State(answer.lineage, revision) if revision else None)
        group.unanswered -= rows
        group.told(part)

    def _fill(self, batch: BulkBatch) -> None:
        waiting, later = self._waiting, []
        room = MAX_BYTES
        while waiting and batch.rows < MAX_ROWS and room > 0:
            part = waiting.popleft()
            if part.group.left:
                continue
            busy, stop, room = self._extent(batch, part, room)
            if stop > part.start:
                batch.add(part._replace(stop=stop))
            if busy:
                later.append(part._replace(start=stop, stop=stop + 1))
                stop += 1
            if stop < part.stop:
                waiting.appendleft(part._replace(start=stop))
        waiting.extendleft(reversed(later))
        self._rows = sum(part.stop - part.start for part in waiting)

    def _extent(self, batch: BulkBatch, part: Part, room: int) -> tuple[bool, int, int]:
        """How far into a part the batch has room; first, whether what follows must wait for its own kind."""
        keys = batch.keys
        flying = [other.keys for other in self._in_flight]
        most = part.start + MAX_ROWS - len(keys)
        for at, row in enumerate(part.rows[: most - part.start], part.start):
            key = row.key
            if key in keys or any(key in other for other in flying):
                return True, at, room
            if row.size > room and keys:
                return False, at, 0
            room -= row.size
            keys.add(key)
        return False, min(part.stop, most), room


def _nobody(_part: Part) -> None:
    """Hears nothing."""


def _written(revision: int) -> write_pb2.WriteResult:
    return write_pb2.WriteResult(status=write_pb2.WRITE_STATUS_WRITTEN, revision=revision)


def _never_sent() -> ReverieError:
    return DeadlineTooShort("the write was still waiting for its turn; nothing was done")


def _unanswered(group: Group) -> list[tuple[Part, bool]]:
    """The parts without outcomes, each with whether it was sent."""
    found: list[tuple[Part, bool]] = []
    start = 0
    states = zip(group.outcomes, group.sent, strict=True)
    for (answered, sent), run in groupby((outcome is not None, sent > 0) for outcome, sent in states):
        stop = start + sum(1 for _ in run)
        if not answered:
            found.append((Part(group, start, stop), sent))
        start = stop
    return found
