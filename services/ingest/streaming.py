"""Serves streams of memories: reads frames, has their items written, acknowledges what is committed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from uuid import UUID

import structlog

from reverie.ingest.v1.ingest_pb2 import StreamMemoriesRequest, StreamMemoriesResponse
from services.ingest.batcher import Batcher
from services.ingest.bulk import State, newest
from services.ingest.frames import FrameWrite, Settled, prepared, sequences_of
from services.ingest.lane import Owner
from services.ingest.receipts import Receipts
from services.ingest.stream import Limits, Stream
from services.ingest.turns import SLICE
from services.runtime import names, principal
from services.runtime.clock import WallClock, utc_now
from services.runtime.errors import (
    DeadlineExceeded,
    DeadlineTooShort,
    Draining,
    InternalError,
    Overloaded,
    PeerUnavailable,
    ReverieError,
    StoreDown,
    StoreFull,
    Unauthenticated,
    UnknownOutcome,
)
from services.runtime.principal import Principal
from services.runtime.tokens import ConsistencyToken, Tokens

RESULTS = 256
"""After so many items an answer is sent: about half a millisecond of work."""

RETRY_DELAY = timedelta(milliseconds=500)
"""What a client is told to wait where there are too many streams, or its items had no turn in time."""

GROUP = 5 * SLICE
"""After so many items of a frame they go to the lane."""

_PASSING = (
    Overloaded, Draining, StoreDown, StoreFull, PeerUnavailable, UnknownOutcome, DeadlineTooShort,
    DeadlineExceeded,
)  # fmt: skip
"""Errors that say nothing against an item: the stream ends with them, and the client sends it again."""

_log = structlog.get_logger("stream")

_EXPIRED = "the JWT has expired; open another stream with a new one"

Requests = AsyncIterator[StreamMemoriesRequest]


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams are served. Seconds."""

    limits: Limits = field(default_factory=Limits)
    most: int = 32
    """Streams at a time; more are refused as overload."""
    most_of_a_tenant: int = 16
    """The same for those of one tenant, so that there is room for others."""
    patience: float = 30.0
    """How long an item waits for its commit before the stream ends with what keeps it."""
    idle: float = 240.0
    """How long nothing may come. Less than proxies wait: so the client hears why it ends."""
    drain: float = 10.0
    """How long a stream that drains has for what it has read."""


class Streams:
    """The streams of one process."""

    def __init__(
        self, batcher: Batcher, tokens: Tokens, settings: StreamSettings, clock: WallClock = utc_now
    ) -> None:
        self._batcher = batcher
        self._tokens = tokens
        self._settings = settings
        self._clock = clock
        self._sessions: set[_Session] = set()
        self._draining = False
        self._none_left = asyncio.Event()

    async def serve(self, requests: Requests) -> AsyncGenerator[StreamMemoriesResponse, None]:
        """The messages of one stream. Raises what it ends with, if that is an error.

        Draining while the process stops; Overloaded if there are too many streams.
        """
        if self._draining:
            raise Draining
        caller = principal.current()
        if self._is_full(caller):
            raise Overloaded(retry_delay=RETRY_DELAY)
        session = _Session(self._batcher, self._tokens, self._settings, self._clock, caller)
        self._sessions.add(session)
        session.begin(requests)
        try:
            yield StreamMemoriesResponse(window=self._settings.limits.window, takes_columns=True)
            while (response := await session.response()) is not None:
                yield response
            if session.stream.error is not None:
                raise session.stream.error
        finally:
            await session.leave()
            self._sessions.discard(session)
            if not self._sessions:
                self._none_left.set()

    def _is_full(self, caller: Principal) -> bool:
        of_the_tenant = sum(session.caller.tenant == caller.tenant for session in self._sessions)
        return len(self._sessions) >= self._settings.most or of_the_tenant >= self._settings.most_of_a_tenant

    async def drain(self) -> None:
        """Ends every stream, each when what it has read is acknowledged, and takes no more."""
        self._draining = True
        for session in self._sessions:
            session.end(Draining())
        if self._sessions:
            self._none_left.clear()
            try:
                async with asyncio.timeout(self._settings.drain):
                    await self._none_left.wait()
            except TimeoutError:
                _log.warning("streams are cut off", streams=len(self._sessions))


class _Session:
    """One stream: a task that reads, and what the handler sends."""

    def __init__(
        self, batcher: Batcher, tokens: Tokens, settings: StreamSettings, clock: WallClock, caller: Principal
    ) -> None:
        self.stream: Stream[Settled] = Stream(settings.limits)
        self._batcher = batcher
        self._tokens = tokens
        self._settings = settings
        self._clock = clock
        self.caller = caller
        self._parent = ""
        self._owner: Owner | None = None
        self._takes_runs = False
        self._receipts = Receipts("")
        self._state: State | None = None
        self._frames: set[FrameWrite] = set()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._idle: asyncio.Timeout | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[None] | None = None

    def begin(self, requests: Requests) -> None:
        """Starts reading."""
        loop = asyncio.get_running_loop()
        left = (self.caller.expires - self._clock()).total_seconds()
        self._expiry = loop.call_later(left, self.end, Unauthenticated(_EXPIRED))
        self._reader = loop.create_task(self._read(requests))

    def end(self, error: ReverieError) -> None:
        """Reads no more; what was read is still acknowledged."""
        self.stream.end(error)
        # It may have run out already, and the reader not heard of it yet.
        if self._idle is not None and not self._idle.expired():
            self._idle.reschedule(asyncio.get_running_loop().time())
        self._wake()

    async def leave(self) -> None:
        """Stops everything. What is not answered stays so."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait((self._reader,))
        for frame in self._frames:
            frame.end()

    async def response(self) -> StreamMemoriesResponse | None:
        """What is due next; None when the stream is over."""
        while True:
            self._news.clear()
            if due := self.stream.take(RESULTS):
                self._room.set()
                return self._answer(due)
            if self.stream.is_over:
                return None
            await self._news.wait()

    def _answer(self, due: Sequence[Settled]) -> StreamMemoriesResponse:
        response = StreamMemoriesResponse()
        for settled in due:
            settled.put_into(response, self._receipts, takes_runs=self._takes_runs)
            if settled.part is not None:
                self._state = newest(self._state, settled.part.group.state)
        if self._state is not None and self._owner is not None:
            token = ConsistencyToken(
                self._state.lineage, UUID(bytes=self._owner.owner), self._state.owner_revision
            )
            response.consistency_token = self._tokens.consistency(token)
        return response

    async def _read(self, requests: Requests) -> None:
        """Takes frames in until no more may come."""
        try:
            while self.stream.is_open:
                request = await self._next(requests)
                if request is not None:
                    await self._take_in(request)
                    await self._until_room()
        except ReverieError as error:
            self.stream.fail(error)
        except Exception as failure:  # noqa: BLE001  (the client hears that something failed, the log what)
            _log.error("a stream failed", exc_info=failure)
            self.stream.fail(InternalError())
        finally:
            self._wake()

    async def _next(self, requests: Requests) -> StreamMemoriesRequest | None:
        """The next frame; None when none may come any more."""
        try:
            async with asyncio.timeout(self._settings.idle) as self._idle:
                return await anext(requests)
        except StopAsyncIteration:
            self.stream.close()
        except TimeoutError:
            # Also when the stream was told to end: then it knows already with what.
            self.stream.end(Draining(f"nothing came for {self._settings.idle:.0f} s; open another stream"))
        finally:
            self._idle = None
        return None

    async def _until_room(self) -> None:
        while self.stream.is_open and not self.stream.has_room:
            self._room.clear()
            await self._room.wait()

    async def _take_in(self, request: StreamMemoriesRequest) -> None:
        owner = self._owner or self._begin(request)
        size = request.ByteSize()
        sequences = sequences_of(request)
        frame = self.stream.receive(sequences, size)
        if not sequences:
            return
        write = await self._batcher.bulk_in_turn(owner, len(sequences), size, self._settings.patience)
        under_way = FrameWrite(frame, write, self._settled)
        self._frames.add(under_way)
        rows = zip(sequences, prepared(owner, self._parent, request, self._clock()), strict=True)
        async with self._batcher.turns as turns:
            for start in range(0, len(sequences), SLICE):
                await turns.next()
                under_way.prepare(islice(rows, SLICE))
                if start % GROUP == GROUP - SLICE:
                    under_way.submit()
        under_way.submit()

    def _begin(self, request: StreamMemoriesRequest) -> Owner:
        """Whose stream it is, as its first message says."""
        user = names.parse_user(request.parent)
        self._owner = Owner(self.caller.owner_of(user).bytes, self.caller.tenant.bytes, user)
        self._parent, self._receipts = request.parent, Receipts(user)
        self._takes_runs = request.takes_runs
        return self._owner

    def _settled(self, frame: FrameWrite, settled: Settled) -> None:
        if frame.is_settled:
            self._frames.discard(frame)
        failure = settled.part.outcomes[0] if settled.part is not None else None
        if isinstance(failure, _PASSING):
            # The items of a part that has failed failed together.
            self.stream.fail(_overload(failure))
        else:
            self.stream.answer(frame.frame, settled.sequences, settled)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._room.set()


def _overload(error: ReverieError) -> ReverieError:
    """What a client is told: that its items had no turn in time is our overload, not its deadline."""
    return Overloaded(retry_delay=RETRY_DELAY) if isinstance(error, DeadlineTooShort) else error
