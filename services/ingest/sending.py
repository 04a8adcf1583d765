"""Sends a batch until it is known what happened, and counts what batches look like."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from reverie.storage.v1 import write_pb2
from services.ingest.lane import Attempts
from services.runtime.errors import InternalError, ReverieError, UnknownOutcome
from services.runtime.telemetry import SIZES, Counter, Histogram, Metric

Send = Callable[[write_pb2.WriteBatchRequest, float], Awaitable[write_pb2.WriteBatchResponse]]
"""Sends a batch, with so many seconds to go. Raises a ReverieError."""

Answer = write_pb2.WriteBatchResponse | ReverieError
"""What storage says to a batch, or why nobody knows more."""

ATTEMPT_SECONDS = 3.0
"""How long a batch is waited for at first: many times what a commit takes, and far less than callers wait.

A storage process that is frozen answers nothing, and without a limit would hold up its lane until the last of
its callers has gone. A batch that does need longer gets as long again as it has been under way.
"""

_log = structlog.get_logger("batcher")


class BatchNumbers:
    """What batches look like, by sort of lane."""

    def __init__(self) -> None:
        self.rows = Histogram("reverie_ingest_batch_rows", "Operations in a batch", SIZES, label="sort")
        self.seconds = Histogram("reverie_ingest_batch_seconds", "How long a batch took", label="sort")
        self.repeats = Counter(
            "reverie_ingest_batch_repeats_total", "Batches that were sent again", ("sort",)
        )
        self.refused = Counter("reverie_ingest_overload_total", "Calls without room in a lane", ("sort",))

    @property
    def metrics(self) -> Sequence[Metric]:
        """All of them."""
        return self.rows, self.seconds, self.repeats, self.refused


class Sender:
    """Sends the batches of one sort of lane."""

    def __init__(self, sort: str, send: Send, numbers: BatchNumbers) -> None:
        self._sort = sort
        self._send = send
        self._numbers = numbers

    async def answered(self, batch: Attempts) -> Answer:
        """Sends a batch until it is known what happened, or nobody waits. The answer fits the batch."""
        began = asyncio.get_running_loop().time()
        self._numbers.rows.observe(batch.rows, self._sort)
        answer = await self._until_known(batch, began)
        self._numbers.seconds.observe(asyncio.get_running_loop().time() - began, self._sort)
        return answer

    async def _until_known(self, batch: Attempts, began: float) -> Answer:
        while True:
            try:
                return await self._attempt(batch, began)
            except ReverieError as error:
                pause = batch.failed(error, asyncio.get_running_loop().time())
                _log.warning("a batch failed", sort=self._sort, reason=error.reason, again_in=pause)
                if pause is None:
                    return error
            self._numbers.repeats.add(1, self._sort)
            await asyncio.sleep(pause)

    async def _attempt(self, batch: Attempts, began: float) -> write_pb2.WriteBatchResponse:
        if batch.deadline is None:
            raise UnknownOutcome("everyone who waited for the batch has left")
        now = asyncio.get_running_loop().time()
        seconds = min(batch.deadline - now, max(ATTEMPT_SECONDS, now - began))
        try:
            response = await self._send(batch.request, seconds)
            batch.check(response)
        except ReverieError:
            raise
        except Exception as failure:
            # The lane must go on, and its callers must hear something.
            _log.error("a batch failed", sort=self._sort, exc_info=failure)
            raise InternalError from failure
        return response
