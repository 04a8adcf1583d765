"""What callers of bulk are told of each item: a receipt, or why there is none."""

from typing import TypeGuard

from reverie.ingest.v1.ingest_pb2 import CreateResult
from reverie.storage.v1.write_pb2 import WriteResult, WriteStatus
from services.ingest import answers
from services.ingest.bulk import BulkOutcome
from services.runtime import names
from services.runtime.errors import InternalError, ReverieError

_WRITTEN = WriteStatus.WRITE_STATUS_WRITTEN
_ALREADY_THERE = WriteStatus.WRITE_STATUS_ALREADY_THERE


def is_created(outcome: BulkOutcome) -> TypeGuard[WriteResult]:
    """Whether there is a memory now, and has been one before or not."""
    return not isinstance(outcome, ReverieError) and outcome.status in {_WRITTEN, _ALREADY_THERE}


class Receipts:
    """Fills in results for one user's items."""

    def __init__(self, user: str) -> None:
        self._prefix = f"{names.user_name(user)}/memories/"
        # What is committed together has one revision.
        self._revision, self._etag = 0, names.etag(0)

    def etag_of(self, revision: int) -> str:
        """The etag of a state."""
        if revision != self._revision:
            self._revision, self._etag = revision, names.etag(revision)
        return self._etag

    def fill(self, result: CreateResult, memory_id: str, outcome: BulkOutcome) -> None:
        """Says what became of an item that was submitted."""
        if isinstance(outcome, ReverieError):
            refuse(result, outcome)
        elif is_created(outcome):
            memory, revision = result.memory, outcome.revision
            memory.name = self._prefix + memory_id
            memory.revision = revision
            memory.etag = self.etag_of(revision)
        else:
            refuse(result, answers.create_refusal(outcome) or InternalError())


def refuse(result: CreateResult, error: ReverieError) -> None:
    """Says why an item has no memory."""
    result.error.CopyFrom(answers.item_error(error))
