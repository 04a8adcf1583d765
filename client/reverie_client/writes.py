"""The calls that change a user's memories."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Unpack
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask

from reverie.ingest.v1 import ingest_pb2
from reverie_client import errors, methods
from reverie_client.answers import Outcome, outcome_of
from reverie_client.batching import MAX_ITEMS, chunks
from reverie_client.calling import Caller
from reverie_client.content import Changes, Fields, NewMemory, fill_request, to_update
from reverie_client.ids import Ids
from reverie_client.memory import Memory
from reverie_client.retry import PASSING
from reverie_client.session import MemoryRef, Session
from reverie_client.streaming import MemoryStream

_Request = ingest_pb2.CreateMemoryRequest
_Batch = ingest_pb2.BatchCreateMemoriesRequest


def _now() -> datetime:
    return datetime.now(UTC).astimezone()


class Writes(Session):
    """Creates, changes and deletes. When a call returns, it is committed and can be found."""

    def __init__(self, user: str, caller: Caller, ids: Ids, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(user, caller)
        self._ids = ids
        self._clock = clock

    async def create(
        self,
        text: str,
        *,
        id: UUID | None = None,  # noqa: A002
        within: timedelta | None = None,
        **fields: Unpack[Fields],
    ) -> Memory:
        """Creates a memory and returns it as it is kept; the same id and content again returns it again.

        Raises InvalidArgument, MemoryExists (the id holds other content), MemoryDeleted, OwnerErased.
        """
        request = self._request(NewMemory(text, id=id, **fields), parent=self.parent)
        return Memory((await self._call(methods.CREATE, request, within)).memory)

    async def create_batch(
        self, new: Sequence[NewMemory], *, within: timedelta | None = None
    ) -> list[Outcome]:
        """Creates up to 1,000 memories, 4 MiB in all, in one call; outcomes come in the order given.

        Memories succeed and fail alone: look at `Outcome.error`. What the platform could not take, or nobody
        knows of, is sent again until the deadline; an error that is still Unavailable, Overloaded or
        DeadlineExceeded says nothing against its memory. Raises only where no memory was answered for: give
        the same ids again then too.
        """
        settled = [self._settled(each) for each in new]
        request = _Batch(parent=self.parent)
        for each in settled:
            fill_request(request.requests.add(), each)
        return await self._batch(settled, request, within)

    async def create_all(
        self,
        new: Iterable[NewMemory],
        *,
        batch: int = 500,
        at_once: int = 2,
        within: timedelta | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Creates any number of memories, in calls of up to `batch`; yields outcomes in the order given.

        At most `at_once` calls are under way, and no more of `new` is read than they hold. A call that
        fails is raised after the outcomes before it; what comes after it may have been created or not.
        """
        under_way: deque[asyncio.Task[list[Outcome]]] = deque()
        try:
            for settled, request in self._batches(new, min(batch, MAX_ITEMS)):
                under_way.append(asyncio.create_task(self._batch(settled, request, within)))
                if len(under_way) >= at_once:
                    for outcome in await under_way.popleft():
                        yield outcome
            while under_way:
                for outcome in await under_way.popleft():
                    yield outcome
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def create_stream(
        self,
        new: Iterable[NewMemory] | AsyncIterable[NewMemory],
        *,
        frame: int = 100,
        patience: timedelta | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Creates any number of memories on a stream; yields outcomes in the order given, once committed.

        The fastest way in. Memories succeed and fail alone: look at `Outcome.error`. No more of `new` is
        read than the stream's window holds; `frame` of them travel together. When an edge or an instance
        goes, the stream goes on elsewhere, and what was not acknowledged is sent again with its id: nothing
        is lost, and nothing is there twice. Raises what keeps it when nothing was acknowledged for
        `patience`, by default 60 seconds; what was not yielded then may have been created or not. ValueError
        for a `frame` below 1.
        """
        if frame < 1:
            raise ValueError(f"a frame holds 1 memory or more, not {frame}")
        return MemoryStream(self._caller, self.user_id, self._settled, frame, patience).outcomes(new)

    async def update(
        self,
        memory: MemoryRef,
        *,
        etag: str | None = None,
        text: str | None = None,
        within: timedelta | None = None,
        **changes: Unpack[Changes],
    ) -> Memory:
        """Changes the fields that are named and returns the memory as it is then.

        It must be in the state of `etag`; a `Memory` brings its own. Raises EtagMismatch, MemoryNotFound,
        MemoryDeleted, InvalidArgument; ValueError without an etag or a change.
        """
        etag = memory.etag if etag is None and isinstance(memory, Memory) else etag
        message, paths = to_update(text, changes)
        if not etag or not paths:
            raise ValueError("an update needs the etag of the memory's state, and at least one change")
        message.name, message.etag = self.name_of(memory), etag
        request = ingest_pb2.UpdateMemoryRequest(memory=message, update_mask=FieldMask(paths=paths))
        return Memory((await self._call(methods.UPDATE, request, within)).memory)

    async def delete(self, memory: MemoryRef, *, etag: str = "", within: timedelta | None = None) -> None:
        """Deletes a memory for good; again, it succeeds. With `etag` only in that state.

        Raises MemoryNotFound if there never was one, EtagMismatch.
        """
        request = ingest_pb2.DeleteMemoryRequest(name=self.name_of(memory), etag=etag)
        await self._call(methods.DELETE, request, within)

    def _settled(self, new: NewMemory) -> NewMemory:
        """With an id and a time, so that a repeat is the same memory."""
        if new.id is not None and new.occurred_at is not None:
            return new
        return replace(new, id=new.id or self._ids.mint(), occurred_at=new.occurred_at or self._clock())

    def _request(self, new: NewMemory, parent: str = "") -> _Request:
        request = _Request(parent=parent)
        fill_request(request, self._settled(new))
        return request

    def _batches(self, new: Iterable[NewMemory], batch: int) -> Iterator[tuple[list[NewMemory], _Batch]]:
        """Batches with what they were made of, reading no further than the next one."""
        read: deque[NewMemory] = deque()

        def requests() -> Iterator[_Request]:
            for each in new:
                read.append(self._settled(each))
                yield self._request(read[-1])

        for chunk in chunks(requests(), batch):
            yield [read.popleft() for _ in chunk], _Batch(parent=self.parent, requests=chunk)

    async def _batch(
        self, new: Sequence[NewMemory], request: _Batch, within: timedelta | None
    ) -> list[Outcome]:
        rounds = self._caller.rounds(methods.BATCH_CREATE, within)
        outcomes = await self._round(new, request, rounds.left)
        while (undone := _undone(outcomes)) and await rounds.pause(undone[0][1]):
            places = [place for place, _ in undone]
            rest = _Batch(parent=self.parent, requests=[request.requests[at] for at in places])
            try:
                again = await self._round([new[at] for at in places], rest, rounds.left)
            except errors.ReverieError as error:
                again = [Outcome(new[at], error=error) for at in places]
            for place, outcome in zip(places, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def _round(self, new: Sequence[NewMemory], request: _Batch, within: timedelta) -> list[Outcome]:
        answer = await self._call(methods.BATCH_CREATE, request, within)
        return [
            outcome_of(self.parent, each, result) for each, result in zip(new, answer.results, strict=True)
        ]


def _undone(outcomes: Sequence[Outcome]) -> list[tuple[int, errors.ReverieError]]:
    """The places of memories that may go in when they are sent again, and why they did not yet."""
    return [
        (place, outcome.error) for place, outcome in enumerate(outcomes) if isinstance(outcome.error, PASSING)
    ]
