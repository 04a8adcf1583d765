"""What of a long list of memories is sent, acknowledged and handed back: pure bookkeeping.

It survives any number of streams: `opened` begins one, and what it leaves without an acknowledgement is sent
again, under the same number and id, on the next.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from grpc import StatusCode

from reverie.ingest.v1 import ingest_pb2
from reverie_client import columns, errors
from reverie_client.answers import Outcome, created, outcome_of
from reverie_client.content import NewMemory, fill_request
from reverie_client.errors import InternalError, ReverieError
from reverie_client.retry import PASSING

FRAME_BYTES = 512 * 1024
"""A frame holds no more; Reverie takes 1 MiB."""

_LARGEST = 1024 * 1024 - 1024
"""Bytes of an item that is a frame of its own; a larger one would end the stream, for all others too."""


class _Item:
    """A memory on its way."""

    __slots__ = ("frame", "new", "outcome", "sequence", "size", "usual")

    def __init__(self, new: NewMemory, sequence: int) -> None:
        self.new = new
        self.sequence = sequence
        self.outcome: Outcome | None = None
        self.usual = columns.usual(new)
        # What columns do not say all of is encoded now: what is wrong with it is the caller's to hear.
        self.frame = b"" if self.usual is not None else _encoded(new, sequence)
        self.size = len(self.frame) if self.usual is None else columns.size_of(self.usual)

    def encoded(self) -> bytes:
        """A frame of nothing but its item."""
        return self.frame or _encoded(self.new, self.sequence)


class Sending:
    """The memories that were taken from the caller and not handed back as outcomes yet.

    At most a window of them; of those, all without an acknowledgement are sent at most once on each stream.
    """

    def __init__(self, parent: str, frame: int) -> None:
        self._parent = parent
        self._frame = frame
        self._window = frame
        self._first = 0
        self._items: deque[_Item] = deque()
        self._unsent: deque[_Item] = deque()
        self._unanswered = 0
        self._exhausted = False
        self._takes_columns = False

    @property
    def has_room(self) -> bool:
        """Whether another memory may be taken."""
        return len(self._items) < self._window

    @property
    def is_waiting(self) -> bool:
        """Whether something has no acknowledgement."""
        return self._unanswered > 0

    @property
    def is_done(self) -> bool:
        """Whether no more memories come, and all are acknowledged."""
        return self._exhausted and not self._unanswered

    def add(self, new: NewMemory) -> bool:
        """Takes a memory, which has its id and time. ValueError if it can't be sent as it is.

        False if it is too large to be sent: then that is its outcome.
        """
        item = _Item(new, self._first + len(self._items))
        self._items.append(item)
        if item.size > _LARGEST:
            item.outcome = Outcome(new, error=_too_large(item.size))
            return False
        self._unsent.append(item)
        self._unanswered += 1
        return True

    @property
    def is_all_sent(self) -> bool:
        """Whether no more memories come, and none waits to be sent on this stream."""
        return self._exhausted and not self._unsent

    def exhaust(self) -> None:
        """No more memories come."""
        self._exhausted = True

    def opened(self, window: int, *, takes_columns: bool = False) -> None:
        """A stream has begun, on which nothing was sent."""
        self._window = max(1, window)
        self._takes_columns = takes_columns
        self._unsent = deque(item for item in self._items if item.outcome is None)

    def frame(self) -> bytes:
        """What is to be sent next; empty if there is nothing, or the window has no room for it.

        Before a stream says how large its window is, and where a later one's is smaller, more may be taken.
        """
        items: list[_Item] = []
        size = 0
        most = min(self._frame, self._window - (self._unanswered - len(self._unsent)))
        while self._unsent and len(items) < most:
            size += self._unsent[0].size
            if items and size > FRAME_BYTES:
                break
            items.append(self._unsent.popleft())
        if not self._takes_columns:
            return b"".join([item.encoded() for item in items])
        # Messages that are encoded one after the other are one message with the fields of all.
        return b"".join([item.frame for item in items if item.usual is None]) + _columns(items)

    def acknowledge(self, results: Iterable[ingest_pb2.StreamResult]) -> ReverieError | None:
        """Takes what became of memories; an error if one has to be sent again on another stream.

        InternalError, raised, if a number is not that of a memory that waits for one.
        """
        again: ReverieError | None = None
        for result in results:
            item = self._waiting(result.sequence)
            outcome = outcome_of(self._parent, item.new, result.result)
            if isinstance(outcome.error, PASSING):
                again = outcome.error
            else:
                item.outcome = outcome
                self._unanswered -= 1
        return again

    def acknowledge_runs(self, runs: Iterable[ingest_pb2.CreatedRun]) -> None:
        """Takes in that memories are created, many at a time. InternalError, raised, as above."""
        for run in runs:
            revision, etag = run.revision, run.etag
            for sequence in range(run.first_sequence, run.first_sequence + run.count):
                item = self._waiting(sequence)
                item.outcome = created(self._parent, item.new, revision, etag)
                self._unanswered -= 1

    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes in the order in which memories were taken, as far as there are any; each once."""
        while self._items and (outcome := self._items[0].outcome) is not None:
            self._items.popleft()
            self._first += 1
            yield outcome

    def _waiting(self, sequence: int) -> _Item:
        place = sequence - self._first
        if 0 <= place < len(self._items) and self._items[place].outcome is None:
            return self._items[place]
        raise InternalError(f"Reverie acknowledged item {sequence}, which waits for nothing")


def _encoded(new: NewMemory, sequence: int) -> bytes:
    frame = ingest_pb2.StreamMemoriesRequest()
    item = frame.items.add(sequence=sequence)
    fill_request(item.request, new)
    return frame.SerializeToString()


def _columns(items: Iterable[_Item]) -> bytes:
    """A frame of those among the items of which columns say everything."""
    some = [(item.sequence, item.usual) for item in items if item.usual is not None]
    if not some:
        return b""
    frame = ingest_pb2.StreamMemoriesRequest()
    columns.put(frame.columns, *zip(*some, strict=True))
    return frame.SerializeToString()


def _too_large(size: int) -> ReverieError:
    text = f"the memory has {size:,} bytes, and a frame of a stream at most 1 MiB"
    return errors.make(StatusCode.INVALID_ARGUMENT, "TOO_LARGE", text)
