"""Drives the lanes: sends their batches, keeps callers' deadlines, and refuses what there is no room for."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import reduce
from typing import Self

from services.ingest.bulk import IN_FLIGHT, BulkBatch, BulkLane, Group, Part, State, newest
from services.ingest.lane import Committed, Lane, Operation, Outcome, Owner, Ticket, outcomes
from services.ingest.room import Room
from services.ingest.rows import Row
from services.ingest.sending import BatchNumbers, Send, Sender
from services.ingest.turns import Turns
from services.ingest.yielding import Yielding
from services.runtime.errors import ReverieError

Answer = asyncio.Future[Outcome]

SINGLE, BULK = "single", "bulk"
"""The sorts of lanes."""


class _Driver:
    """The lane of single writes with the task that sends its batches."""

    def __init__(self, sender: Sender, room: Room, answered: Callable[[float], None]) -> None:
        self.room = room
        self.lane: Lane[Answer] = Lane()
        self._sender = sender
        self._answered = answered
        self._task: asyncio.Task[None] | None = None

    def submit(self, operation: Operation, deadline: float) -> Ticket[Answer]:
        """Queues an operation; its ticket's caller is a future of its outcome."""
        loop = asyncio.get_running_loop()
        ticket = self.lane.submit(operation, loop.create_future(), deadline)
        if self._task is None:
            # A context of its own: a lane acts for nobody in particular.
            self._task = loop.create_task(self._drive(), context=Context())
        return ticket

    def expire(self, ticket: Ticket[Answer]) -> None:
        """Ends the wait of a caller whose deadline has come."""
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
                began = asyncio.get_running_loop().time()
                said = await self._sender.answered(batch)
                if not isinstance(said, ReverieError):
                    # How long a failure takes says nothing about how long a commit does.
                    self._answered(began)
                for answer, outcome in self.lane.finish(batch, outcomes(batch, said)):
                    if not answer.done():
                        answer.set_result(outcome)
        finally:
            self._task = None


class _BulkDriver:
    """A bulk lane with the tasks that send its batches."""

    def __init__(self, sender: Sender, room: Room, yielding: Yielding) -> None:
        self.room = room
        self.lane = BulkLane()
        self._sender = sender
        self._yielding = yielding
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._last_answer = float("-inf")

    def submit(self, group: Group) -> None:
        """Queues a group."""
        self.lane.submit(group)
        self._start()

    def was_busy_since(self, moment: float) -> bool:
        """Whether a batch was in flight at any time since then."""
        return self._in_flight > 0 or self._last_answer > moment

    async def drained(self) -> None:
        """Returns when nothing waits and nothing is in flight."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self) -> None:
        while len(self._tasks) < IN_FLIGHT and (batch := self.lane.take()) is not None:
            task = asyncio.get_running_loop().create_task(self._carry(batch), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._next)

    def _next(self, ended: asyncio.Task[None]) -> None:
        self._tasks.discard(ended)
        self._start()

    async def _carry(self, batch: BulkBatch) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._in_flight += 1
        answer = await self._sender.answered(batch)
        self._in_flight -= 1
        now = self._last_answer = loop.time()
        self.lane.finish(batch, answer)
        if pause := self._yielding.rest(now - began, now):
            await asyncio.sleep(pause)


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

        def room(sort: str) -> Room:
            return Room(queue_rows, queue_bytes, lambda: counted.refused.add(1, sort))

        single, bulk = Sender(SINGLE, send, counted), Sender(BULK, send, counted)
        self.turns = Turns()
        """Of those who prepare bulk."""
        self._yielding = Yielding()
        self._single = [_Driver(single, room(SINGLE), self._answered) for _ in range(lanes)]
        self._bulk = [_BulkDriver(bulk, room(BULK), self._yielding) for _ in range(bulk_lanes)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for driver in self._single:
            await driver.drained()
        for bulk in self._bulk:
            await bulk.drained()

    async def write(self, operation: Operation, seconds: float) -> Committed:
        """Commits one operation within so many seconds, together with what others want at this moment.

        Raises what went wrong: UnknownOutcome if it was sent and time ran out, DeadlineTooShort if it was
        not; Overloaded if there was no room for it.
        """
        driver = self._single[_lane_of(operation.owner, len(self._single))]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        driver.room.take(1, operation.size)
        ticket = driver.submit(operation, deadline)
        timer = loop.call_at(deadline, driver.expire, ticket)
        try:
            outcome = await ticket.caller
        finally:
            timer.cancel()
            driver.lane.leave(ticket)
            driver.room.give_back(1, operation.size)
        if isinstance(outcome, ReverieError):
            raise outcome
        return outcome

    def _answered(self, began: float) -> None:
        """A batch of single writes that was sent at `began` has its answer."""
        now = asyncio.get_running_loop().time()
        beside_bulk = any(driver.was_busy_since(began) for driver in self._bulk)
        self._yielding.single(now - began, now, beside_bulk=beside_bulk)

    def bulk(self, owner: Owner, rows: int, size: int, seconds: float) -> "BulkWrite":
        """Lets one call write up to so many rows and bytes of one owner, beside single writes.

        Overloaded if there is no room for all of them.
        """
        driver = self._bulk[_lane_of(owner, len(self._bulk))]
        driver.room.take(rows, size)
        return BulkWrite(driver, owner, rows, size, seconds)

    async def bulk_in_turn(self, owner: Owner, rows: int, size: int, seconds: float) -> "BulkWrite":
        """The same, as soon as there is room. Overloaded if there is none within so many seconds."""
        driver = self._bulk[_lane_of(owner, len(self._bulk))]
        began = asyncio.get_running_loop().time()
        await driver.room.wait(rows, size, seconds)
        return BulkWrite(driver, owner, rows, size, began + seconds - asyncio.get_running_loop().time())


class BulkWrite:
    """The writes of one call, or of one frame. As a context: leaves at its end what is not answered."""

    def __init__(self, driver: _BulkDriver, owner: Owner, rows: int, size: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._driver = driver
        self._owner = owner
        self._taken = rows, size
        self._deadline = loop.time() + seconds
        self._groups: list[Group] = []
        self._answered = asyncio.Event()
        self._over = False
        self._ended = False
        self._timer = loop.call_at(self._deadline, self._expire)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    def submit(self, rows: Sequence[Row], told: Callable[[Part], None] | None = None) -> Group:
        """Queues rows. Their outcomes are there by the deadline at the latest, if then as errors.

        `told` hears of each part of them that has its outcomes.
        """
        group = Group(self._owner, rows, self._deadline, lambda part: self._tell(part, told))
        self._groups.append(group)
        if self._over:
            self._driver.lane.expire(group)
        else:
            self._driver.submit(group)
        return group

    async def answered(self) -> None:
        """Returns when everything that was submitted has its outcome."""
        while any(group.unanswered for group in self._groups):
            self._answered.clear()
            await self._answered.wait()

    @property
    def state(self) -> State | None:
        """The newest state that shows what was committed; None if nothing was."""
        return reduce(newest, (group.state for group in self._groups), None)

    def end(self) -> None:
        """Leaves all that is not answered, and makes room for others."""
        if self._ended:
            return
        self._ended = True
        self._timer.cancel()
        for group in self._groups:
            self._driver.lane.leave(group)
        self._driver.room.give_back(*self._taken)

    def _tell(self, part: Part, told: Callable[[Part], None] | None) -> None:
        self._answered.set()
        if told is not None:
            told(part)

    def _expire(self) -> None:
        self._over = True
        for group in self._groups:
            self._driver.lane.expire(group)


def _lane_of(owner: Owner, lanes: int) -> int:
    # The same lane in every instance: so one lane at most of each waits for an owner's lock.
    return int.from_bytes(owner.owner[:8]) % lanes
