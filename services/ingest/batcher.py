"""Drives the lanes: sends their batches, keeps callers' deadlines, and refuses what there is no room for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from datetime import timedelta
from typing import Self

import structlog

from reverie.storage.v1 import write_pb2
from services.ingest.lane import Batch, Committed, Lane, Operation, Outcome, Ticket, outcomes, verdict
from services.runtime.errors import InternalError, Overloaded, ReverieError, UnknownOutcome
from services.runtime.telemetry import SIZES, Counter, Histogram, Metric

Send = Callable[[write_pb2.WriteBatchRequest, float], Awaitable[write_pb2.WriteBatchResponse]]
"""Sends a batch, with so many seconds to go. Raises a ReverieError."""

Answer = asyncio.Future[Outcome]

SINGLE, BULK = "single", "bulk"
"""The sorts of lanes."""

RETRY_DELAY = timedelta(milliseconds=250)
"""What a caller is told to wait when a lane is full: a few hundred rows are through by then."""

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


class Room:
    """How much the callers of a lane may have on their way."""

    def __init__(self, rows: int, size: int, refused: Callable[[], None]) -> None:
        self._rows = rows
        self._size = size
        self._refused = refused

    def take(self, rows: int, size: int) -> None:
        """Overloaded, with nothing taken, if there is not so much left."""
        if rows > self._rows or size > self._size:
            self._refused()
            raise Overloaded(retry_delay=RETRY_DELAY)
        self._rows -= rows
        self._size -= size

    def give_back(self, rows: int, size: int) -> None:
        """Makes room for others."""
        self._rows += rows
        self._size += size


class _Driver:
    """One lane with the task that sends its batches."""

    def __init__(self, sort: str, send: Send, room: Room, numbers: BatchNumbers) -> None:
        self.room = room
        # A call of many is answered with receipts: memories would be most of the answer, and be dropped here.
        self.lane: Lane[Answer] = Lane(without_memories=sort == BULK)
        self._sort = sort
        self._send = send
        self._numbers = numbers
        self._task: asyncio.Task[None] | None = None

    def submit(self, operation: Operation, deadline: float) -> Ticket[Answer]:
        """Queues an operation; its ticket's caller is a future of its outcome."""
        loop = asyncio.get_running_loop()
        ticket = self.lane.submit(operation, loop.create_future(), deadline)
        if self._task is None:
            # A context of its own: a lane acts for nobody in particular.
            self._task = loop.create_task(self._drive(), context=Context())
        return ticket

    def expire(self, tickets: Sequence[Ticket[Answer]]) -> None:
        """Ends the wait of callers whose deadline has come."""
        for ticket in tickets:
            told = self.lane.leave(ticket)
            if told is not None and not ticket.caller.done():
                ticket.caller.set_result(told)

    async def drained(self) -> None:
        """Returns when nothing waits and nothing is in flight."""
        while self._task is not None:
            await asyncio.wait((self._task,))

    async def _drive(self) -> None:
        try:
            while (batch := self.lane.take()) is not None:
                started = asyncio.get_running_loop().time()
                self._numbers.rows.observe(len(batch.entries), self._sort)
                told = await self._outcomes(batch)
                for answer, outcome in self.lane.finish(batch, told):
                    if not answer.done():
                        answer.set_result(outcome)
                self._numbers.seconds.observe(asyncio.get_running_loop().time() - started, self._sort)
        finally:
            self._task = None

    async def _outcomes(self, batch: Batch[Answer]) -> Sequence[Outcome]:
        """Sends the batch until it is known what happened, or nobody waits for it."""
        began = asyncio.get_running_loop().time()
        while True:
            try:
                return await self._attempt(batch, began)
            except ReverieError as error:
                pause = self.lane.failed(batch, error, asyncio.get_running_loop().time())
                _log.warning("a batch failed", sort=self._sort, reason=error.reason, again_in=pause)
                if pause is None:
                    return [verdict(batch, error)] * len(batch.entries)
            self._numbers.repeats.add(1, self._sort)
            await asyncio.sleep(pause)

    async def _attempt(self, batch: Batch[Answer], began: float) -> Sequence[Outcome]:
        if batch.deadline is None:
            raise UnknownOutcome("everyone who waited for the batch has left")
        now = asyncio.get_running_loop().time()
        seconds = min(batch.deadline - now, max(ATTEMPT_SECONDS, now - began))
        try:
            return outcomes(batch, await self._send(batch.request, seconds))
        except ReverieError:
            raise
        except Exception as failure:
            # The lane must go on, and its callers must hear something.
            _log.error("a batch failed", sort=self._sort, exc_info=failure)
            raise InternalError from failure


class Batcher:
    """Turns many small writes into few large ones.

    Used as an asynchronous context: at its end it waits until every lane is empty.
    """

    def __init__(
        self,
        send: Send,
        *,
        lanes: int,
        bulk_lanes: int,
        queue_rows: int,
        queue_bytes: int,
        numbers: BatchNumbers | None = None,
    ) -> None:
        counted = numbers or BatchNumbers()

        def drivers(sort: str, count: int) -> list[_Driver]:
            def refused() -> None:
                counted.refused.add(1, sort)

            return [
                _Driver(sort, send, Room(queue_rows, queue_bytes, refused), counted) for _ in range(count)
            ]

        self._single = drivers(SINGLE, lanes)
        self._bulk = drivers(BULK, bulk_lanes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for driver in (*self._single, *self._bulk):
            await driver.drained()

    async def write(self, operation: Operation, seconds: float) -> Committed:
        """Commits one operation within so many seconds, together with what others want at this moment.

        Raises what went wrong: UnknownOutcome if it was sent and time ran out, DeadlineTooShort if it was
        not; Overloaded if there was no room for it.
        """
        driver = _of_owner(self._single, operation.owner.owner)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        driver.room.take(1, operation.size)
        ticket = driver.submit(operation, deadline)
        timer = loop.call_at(deadline, driver.expire, (ticket,))
        try:
            outcome = await ticket.caller
        finally:
            timer.cancel()
            driver.lane.leave(ticket)
            driver.room.give_back(1, operation.size)
        if isinstance(outcome, ReverieError):
            raise outcome
        return outcome

    @contextmanager
    def bulk(self, owner: bytes, rows: int, size: int, seconds: float) -> Iterator["BulkWrite"]:
        """Lets one call write up to so many rows and bytes of one owner, beside single writes.

        Overloaded if there is no room for all of them.
        """
        driver = _of_owner(self._bulk, owner)
        driver.room.take(rows, size)
        write = BulkWrite(driver, asyncio.get_running_loop().time() + seconds)
        try:
            yield write
        finally:
            write.end()
            driver.room.give_back(rows, size)


class BulkWrite:
    """The writes of one call."""

    def __init__(self, driver: _Driver, deadline: float) -> None:
        self._driver = driver
        self._deadline = deadline
        self._tickets: list[Ticket[Answer]] = []
        self._over = False
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def submit(self, operation: Operation) -> Answer:
        """Queues an operation; its outcome is there by the deadline at the latest, if then as an error."""
        ticket = self._driver.submit(operation, self._deadline)
        self._tickets.append(ticket)
        if self._over:
            self._driver.expire((ticket,))
        return ticket.caller

    def end(self) -> None:
        """Leaves all that is not answered."""
        self._timer.cancel()
        for ticket in self._tickets:
            self._driver.lane.leave(ticket)

    def _expire(self) -> None:
        self._over = True
        self._driver.expire(self._tickets)


def _of_owner(drivers: Sequence[_Driver], owner: bytes) -> _Driver:
    # The same lane in every instance: so one lane at most of each waits for an owner's lock.
    return drivers[int.from_bytes(owner[:8]) % len(drivers)]
