"""What a stage of analysis is. Each lives in a module of its own."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Work(NamedTuple):
    """A memory's content, as far as stages look at it."""

    text: str
    language: str


class StageError(Exception):
    """Raised by a stage that cannot do its work; the message must not quote the memory."""


class Stage(Protocol):
    """Finds something in memories."""

    name: str
    """As the queue calls it."""
    model: int
    """The number of the model that works."""

    def run(self, work: Sequence[Work]) -> list[bytes]:
        """Return one result for each memory. Blocks as long as it takes; one thread at a time calls it.

        When it raises, the caller tries the memories one by one, to find those that it fails for.
        """
        ...


def cause(error: BaseException) -> str:
    """Say what went wrong in up to 1,024 bytes: a `StageError`'s message, else type and place in the code.

    The message of any other exception may quote the memory, and the queue must hold no content.
    """
    said = str(error) if isinstance(error, StageError) else f"{type(error).__name__} at {_place(error)}"
    return said.encode()[:1024].decode(errors="ignore")


def _place(error: BaseException) -> str:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return "an unknown place"
    code = last.tb_frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{last.tb_lineno} ({code.co_name})"
