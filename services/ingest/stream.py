"""The protocol of one stream of memories: what may come, what is owed to the client, and when it is over.

Pure: no clock, no tasks. The shell in `streaming` tells it of each frame, of each answer, and of what ends
it; it says whether to read on, what to send, and when to stop.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from services.runtime.errors import InvalidArgument, ReverieError, TooLarge

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one stream may have on its way."""

    window: int = 2_000
    """Items without an acknowledgement. A client that sends more breaks the rules."""
    frame_bytes: int = 1024 * 1024
    """The largest frame."""
    held_bytes: int = 4 * 1024 * 1024
    """Of frames that are not answered in full: beyond this the stream is not read, and the client waits."""


class Frame:
    """A frame that was taken in, until all of its items are acknowledged."""

    __slots__ = ("size", "unanswered")

    def __init__(self, rows: int, size: int) -> None:
        self.unanswered = rows
        self.size = size


class _Due(NamedTuple, Generic[T]):
    """What is to be sent: answers to some items of a frame."""

    frame: Frame
    sequences: Sequence[int]
    answers: T


class Stream(Generic[T]):
    """One stream. Items are known by the client's sequences, frames by what `receive` returns.

    An item counts against the window until its answer is handed out by `take`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unanswered: set[int] = set()
        self._held = 0
        self._due: deque[_Due[T]] = deque()
        self._open = True
        self._failed = False
        self.error: ReverieError | None = None
        """What the stream ends with; None: OK."""

    @property
    def is_open(self) -> bool:
        """Whether frames may still come: the client has not ended its side, nor we ours."""
        return self._open

    @property
    def has_room(self) -> bool:
        """Whether the next frame may be read now."""
        return self._held < self._limits.held_bytes

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be sent but the end."""
        if self._due:
            return False
        return self._failed or not (self._open or self._unanswered)

    def receive(self, sequences: Sequence[int], size: int) -> Frame:
        """Takes in a frame of so many bytes.

        TooLarge or InvalidArgument if it breaks a rule of the stream; then nothing of it was taken.
        """
        if size > self._limits.frame_bytes:
            raise TooLarge(f"the frame has more than {self._limits.frame_bytes} bytes; split it")
        new = set(sequences)
        if len(new) < len(sequences) or not new.isdisjoint(self._unanswered):
            raise InvalidArgument.of("items", "have sequences that no other unacknowledged item has")
        if len(new) + len(self._unanswered) > self._limits.window:
            raise InvalidArgument.of(
                "items", f"are at most {self._limits.window} without an acknowledgement: wait for some"
            )
        self._unanswered |= new
        self._held += size
        frame = Frame(len(new), size)
        self._release(frame, 0)
        return frame

    def answer(self, frame: Frame, sequences: Sequence[int], answers: T) -> None:
        """Has answers for some items of a frame, which are now due."""
        self._due.append(_Due(frame, sequences, answers))

    def take(self, most: int) -> list[T]:
        """The answers that are due, in turn, until they are for so many items or more."""
        taken: list[T] = []
        rows = 0
        while self._due and rows < most:
            frame, sequences, answers = self._due.popleft()
            rows += len(sequences)
            self._unanswered.difference_update(sequences)
            self._release(frame, len(sequences))
            taken.append(answers)
        return taken

    def close(self) -> None:
        """The client has sent all that it will: the stream is over when all of it is acknowledged."""
        self._open = False

    def end(self, error: ReverieError) -> None:
        """Takes nothing more in; the stream ends with an error when what was taken in is acknowledged."""
        self._open = False
        self.error = self.error or error

    def fail(self, error: ReverieError) -> None:
        """Ends the stream with an error as soon as what is due is sent; the rest stays unanswered."""
        self._open = False
        if not self._failed:
            self.error = error
        self._failed = True

    def _release(self, frame: Frame, rows: int) -> None:
        frame.unanswered -= rows
        if not frame.unanswered:
            self._held -= frame.size
