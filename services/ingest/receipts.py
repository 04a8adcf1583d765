"""What callers of bulk are told of each item: a receipt, or why there is none."""

from reverie.ingest.v1.ingest_pb2 import CreateResult
from reverie.storage.v1.write_pb2 import WriteStatus
from services.ingest import answers
from services.ingest.bulk import BulkOutcome
from services.runtime import names
from services.runtime.errors import InternalError, ReverieError

_WRITTEN = WriteStatus.WRITE_STATUS_WRITTEN
_ALREADY_THERE = WriteStatus.WRITE_STATUS_ALREADY_THERE


class Receipts:
    """Fills in results for one user's items."""

    def __init__(self, user: str) -> None:
        self._prefix = f"{names.user_name(user)}/memories/"
        # What is committed together has one revision.
        self._revision, self._etag = 0, names.etag(0)

    def fill(self, result: CreateResult, memory_id: str, outcome: BulkOutcome) -> None:
        """Says what became of an item that was submitted."""
        if isinstance(outcome, ReverieError):
            refuse(result, outcome)
        elif (status := outcome.status) == _WRITTEN or status == _ALREADY_THERE:
            revision = outcome.revision
            if revision != self._revision:
                self._revision, self._etag = revision, names.etag(revision)
            memory = result.memory
            memory.name = self._prefix + memory_id
            memory.revision = revision
            memory.etag = self._etag
        else:
            refuse(result, answers.create_refusal(outcome) or InternalError())


def refuse(result: CreateResult, error: ReverieError) -> None:
    """Says why an item has no memory."""
    result.error.CopyFrom(answers.item_error(error))
