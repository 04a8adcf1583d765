"""Makes a call: with JWT, consistency token and deadline, again where that is safe, at another edge too."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, NamedTuple

import grpc

from reverie_client import errors
from reverie_client.credentials import Credentials
from reverie_client.edges import Edges
from reverie_client.errors import (
    DeadlineExceeded,
    ReverieError,
    TokenInvalid,
    Unauthenticated,
    UnknownOutcome,
    Unreachable,
)
from reverie_client.exchange import Exchange
from reverie_client.links import Links
from reverie_client.methods import Answer, Method, Request
from reverie_client.retry import (
    Failure,
    RetryPolicy,
    hold_back,
    may_have_happened,
    pause_before_repeat,
    says_nothing_happened,
)
from reverie_client.sessions import Sessions
from reverie_client.window import Window

CONSISTENCY_KEY = "reverie-token"
"""The metadata that carries a consistency token, there and back."""

Metadata = Sequence[tuple[str, str]]

_LOOK_SECONDS = 1.0
"""How long an edge that failed may take to say that it is well again."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a caller takes from the world: clocks, sleep, chance. Seconds everywhere."""

    monotonic: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


@dataclass(slots=True)
class _Call(Generic[Request, Answer]):
    """A call and how far it has come."""

    method: Method[Request, Answer]
    request: Request
    user: str | None
    metadata: Metadata
    ends: float
    attempt: int = 0
    tried: set[int] = field(default_factory=set)
    mended: set[type[ReverieError]] = field(default_factory=set)
    """What was put right once already."""
    last_error: ReverieError | None = None
    in_doubt: bool = False
    """Whether a try of a write may have happened that was not answered so."""
    header: tuple[str, str] | None = None
    consistency: str | None = None


class Rounds:
    """The deadline of several calls that do one thing, each round for what the one before it left undone."""

    def __init__(
        self, method: Method[Any, Any], ends: float, policy: RetryPolicy, world: Environment
    ) -> None:
        self._method = method
        self._ends = ends
        self._policy = policy
        self._environment = world
        self._past = 0

    @property
    def left(self) -> timedelta:
        """What is left of it."""
        return timedelta(seconds=max(0.0, self._ends - self._environment.monotonic()))

    async def pause(self, error: ReverieError) -> bool:
        """Waits before the next round, which `error` is a reason for; False, at once, if there is none."""
        self._past += 1
        failure = Failure(error, self._past, self._method.repeatable, 0, self.left.total_seconds())
        seconds = pause_before_repeat(failure, self._policy, self._environment.chance())
        if seconds is not None:
            await self._environment.sleep(seconds)
        return seconds is not None


class Exchanging(NamedTuple, Generic[Answer]):
    """A stream, and with what it was begun."""

    exchange: Exchange[Answer]
    edge: int
    header: tuple[str, str] | None


class Repeats:
    """When to begin a stream again; a new count, and all the time, after each progress. Seconds."""

    def __init__(self, patience: float, edges: int, policy: RetryPolicy, world: Environment) -> None:
        self._patience = patience
        self._edges = edges
        self._policy = policy
        self._environment = world
        self.progress()

    def progress(self) -> None:
        """It gets somewhere, or has nothing to do."""
        self._ends = self._environment.monotonic() + self._patience
        self._past = 0
        self._renewed = False

    def first_refusal(self) -> bool:
        """Whether this is the first JWT that was refused since the last progress."""
        first, self._renewed = not self._renewed, True
        return first

    @property
    def left(self) -> float:
        """What is left before it is given up."""
        return max(0.0, self._ends - self._environment.monotonic())

    async def pause(self, error: ReverieError) -> bool:
        """Waits before the next try, which `error` is a reason for; False, at once, if there is none."""
        self._past += 1
        failure = Failure(
            error, self._past, repeatable=True, untried_edges=self._untried, remaining=self.left
        )
        seconds = pause_before_repeat(failure, self._policy, self._environment.chance())
        if seconds:
            await self._environment.sleep(seconds)
        return seconds is not None

    @property
    def _untried(self) -> int:
        return max(0, self._edges - self._past)


class Caller:
    """Makes calls on behalf of one connection."""

    def __init__(
        self,
        links: Links,
        edges: Edges,
        credentials: Credentials,
        policy: RetryPolicy,
        environment: Environment,
    ) -> None:
        self._links = links
        self._edges = edges
        self._credentials = credentials
        self._policy = policy
        self._environment = environment
        self._windows: defaultdict[str, Window] = defaultdict(lambda: Window(environment.monotonic))
        self._refusals: dict[str, ReverieError] = {}
        """What closed each method's window last."""
        self._looks: set[asyncio.Future[None]] = set()
        self.sessions = Sessions()

    async def call(
        self,
        method: Method[Request, Answer],
        request: Request,
        *,
        user: str | None = None,
        within: timedelta | None = None,
        metadata: Metadata = (),
    ) -> Answer:
        """The answer. If there is none in time, raises the last try's typed error, caused by the one before.

        UnknownOutcome where the last try changed nothing, but one before it may have. `user` names whose
        session it belongs to; None: nobody's.
        """
        call = _Call(method, request, user, metadata, self._end(method, within))
        while True:
            call.attempt += 1
            try:
                return await self._attempt_in_turn(call)
            except ReverieError as error:
                call.in_doubt |= method.writes and may_have_happened(error)
                await self._recover(call, error)

    async def exchange(self, method: Method[Request, Answer]) -> "Exchanging[Answer]":
        """A stream at the edge that is to be called next. Say by `exchanged` how it ended."""
        header = self._credentials.current() or await self._credentials.renewed()
        index = self._choose_edge()
        metadata = () if header is None else (header,)
        return Exchanging(self._links.link(index).exchange(method, metadata), index, header)

    def exchanged(self, stream: "Exchanging[Any]", error: ReverieError | None) -> bool:
        """Notes what a stream's end says of its edge; whether its JWT was at fault and may be another."""
        if error is None:
            self._edges.worked(stream.edge)
            return False
        self._note_edge(error, stream.edge)
        return isinstance(error, Unauthenticated) and self._credentials.refused(stream.header)

    def repeats(self, method: Method[Any, Any], within: timedelta | None) -> "Repeats":
        """When to begin a stream again that ended early, within the method's time without progress."""
        seconds = (method.timeout if within is None else within).total_seconds()
        return Repeats(seconds, len(self._edges), self._policy, self._environment)

    def rounds(self, method: Method[Any, Any], within: timedelta | None) -> Rounds:
        """The rounds of calls of a method, within its own deadline if none is named."""
        return Rounds(method, self._end(method, within), self._policy, self._environment)

    async def _attempt_in_turn(self, call: _Call[Request, Answer]) -> Answer:
        """Makes the call at an edge, once there is room for it among those under way."""
        window = self._windows[call.method.path]
        try:
            entered = await window.enter(call.ends)
        except TimeoutError:
            raise _held_back(self._refusals[call.method.path]) from call.last_error
        refused_for = None
        index = self._choose_edge()
        try:
            answer = await self._attempt(call, index)
        except ReverieError as error:
            refused_for = hold_back(error, self._policy, self._environment.chance())
            if refused_for is not None:
                self._refusals[call.method.path] = error
            self._note_edge(error, index)
            raise
        finally:
            window.leave(entered, refused_for=refused_for)
        self._edges.worked(index)
        return answer

    async def _attempt(self, call: _Call[Request, Answer], index: int) -> Answer:
        call.tried.add(index)
        sent = await self._metadata(call)
        running = self._links.link(index).start(call.method, call.request, self._left(call), sent)
        try:
            answer = await running
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None
        if call.user is not None:
            await self._learn(call.user, running)
        return answer

    async def _metadata(self, call: _Call[Any, Any]) -> Metadata:
        sent = [*call.metadata]
        call.header = self._credentials.current() or await self._credentials.renewed()
        if call.header is not None:
            sent.append(call.header)
        call.consistency = None if call.user is None else self.sessions.token(call.user)
        if call.consistency is not None:
            sent.append((CONSISTENCY_KEY, call.consistency))
        return sent

    async def _learn(self, user: str, running: "grpc.aio.UnaryUnaryCall[Any, Any]") -> None:
        """Keeps the token that came with the answer; services may send it before it or after it."""
        for metadata in (running.trailing_metadata, running.initial_metadata):
            for key, value in await metadata():
                if key == CONSISTENCY_KEY and isinstance(value, str):
                    self.sessions.learn(user, value)
                    return

    async def _recover(self, call: _Call[Any, Any], error: ReverieError) -> None:
        """Returns when the call is to be made again, else raises the error."""
        if self._mended(call, error):
            return
        untried = len(self._edges) - len(call.tried)
        failure = Failure(error, call.attempt, call.method.repeatable, untried, self._left(call))
        pause = pause_before_repeat(failure, self._policy, self._environment.chance())
        if pause is None:
            told = _in_doubt(error) if call.in_doubt and says_nothing_happened(error) else error
            raise told from call.last_error
        if pause:
            await self._environment.sleep(pause)
        call.last_error = error

    def _choose_edge(self) -> int:
        """The edge to call now. One that failed is looked at meanwhile, when it is time."""
        for index in self._edges.due(self._environment.monotonic()):
            look = asyncio.ensure_future(self._look_at(index))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        return self._edges.choose()

    async def _look_at(self, index: int) -> None:
        well = await self._links.link(index).is_well(_LOOK_SECONDS)
        self._edges.looked(index, self._environment.monotonic(), well=well)

    def _note_edge(self, error: ReverieError, index: int) -> None:
        """An edge that lets a deadline pass may be slow or gone: that alone says neither."""
        if isinstance(error, Unreachable):
            self._edges.failed(index, self._environment.monotonic())
        elif not isinstance(error, DeadlineExceeded):
            self._edges.worked(index)

    def _mended(self, call: _Call[Any, Any], error: ReverieError) -> bool:
        """Whether what the call was refused for can be another now: its JWT, or its consistency token.

        A consistency token that no key opens any more was made before the last but one change of keys: what
        it promised is long since everywhere.
        """
        if type(error) in call.mended:
            return False
        call.mended.add(type(error))
        if isinstance(error, Unauthenticated):
            return self._credentials.refused(call.header)
        if isinstance(error, TokenInvalid) and call.user is not None and call.consistency is not None:
            self.sessions.forget(call.user, call.consistency)
            return True
        return False

    def _end(self, method: Method[Any, Any], within: timedelta | None) -> float:
        seconds = method.timeout if within is None else within
        return self._environment.monotonic() + seconds.total_seconds()

    def _left(self, call: _Call[Any, Any]) -> float:
        return max(0.0, call.ends - self._environment.monotonic())


def _held_back(refusal: ReverieError) -> ReverieError:
    """What a call is told that was kept back for what others were told."""
    message = f"calls like this one are refused, and it had no turn before its deadline: {refusal.message}"
    return type(refusal)(message, code=refusal.code, reason=refusal.reason)


def _in_doubt(last: ReverieError) -> UnknownOutcome:
    """What a write is told whose last try changed nothing, where an earlier one may have."""
    return UnknownOutcome(
        f"an earlier try may have happened: repeat it with the same id; the last one: {last.message}",
        code=grpc.StatusCode.UNAVAILABLE,
        reason="UNKNOWN_OUTCOME",
        retry_delay=last.retry_delay,
    )
