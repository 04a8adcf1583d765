"""What happens between a call and its answer, with links that answer from a script."""

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import grpc
import pytest
from google.protobuf.message import Message

from reverie.ingest.v1 import ingest_pb2
from reverie.storage.v1 import admin_pb2, read_pb2
from reverie_client import errors, methods
from reverie_client.calling import Caller, Environment
from reverie_client.credentials import Credentials, TokenSource
from reverie_client.edges import Edges
from reverie_client.links import Links
from reverie_client.retry import RetryPolicy
from services.runtime import errors as service_errors

ANSWER = read_pb2.GetMemoryResponse()
REQUEST = read_pb2.GetMemoryRequest(name="users/ines/memories/x")


def refused(error: service_errors.ReverieError) -> grpc.aio.AioRpcError:
    status = service_errors.to_status(error)
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)


UNREACHABLE = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "connection refused"
)


class Running:
    """A call under way: it ends as the script says, with a token in its trailing metadata."""

    def __init__(self, outcome: Message | Exception, token: str | None) -> None:
        self._outcome = outcome
        self._token = token

    def __await__(self) -> Generator[None, None, Message]:
        yield from ()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*([("reverie-token", self._token)] if self._token else []))


@dataclass
class World:
    """A clock that only sleeping and calls move, what calls end with, and what was sent."""

    script: list[Message | Exception]
    """One for each try; the last one for ever."""
    call_seconds: float = 0.0
    tokens: list[str] = field(default_factory=list)
    now: float = 0.0
    sleeps: list[float] = field(default_factory=list)
    sent: list[tuple[int, float, dict[str, str]]] = field(default_factory=list)
    together: int = 1
    """How many callers sleep at the same time."""
    well: bool = True
    """What looks at edges find."""
    looks: list[int] = field(default_factory=list)

    def link(self, index: int) -> "Link":
        return Link(self, index)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds / self.together
        await asyncio.sleep(0)

    def caller(self, edges: int = 1, token: TokenSource = None) -> Caller:
        environment = Environment(lambda: self.now, lambda: 1e9 + self.now, self.sleep, lambda: 0.0)
        credentials = Credentials(token, environment.wall_clock)
        return Caller(cast("Links", self), Edges(edges), credentials, RetryPolicy(), environment)


@dataclass
class Link:
    world: World
    index: int

    async def is_well(self, _seconds: float) -> bool:
        self.world.looks.append(self.index)
        return self.world.well

    def start(
        self, method: object, request: Message, timeout: float, metadata: Sequence[tuple[str, str]]
    ) -> Running:
        world = self.world
        world.sent.append((self.index, timeout, dict(metadata)))
        world.now += world.call_seconds
        outcome = world.script.pop(0) if len(world.script) > 1 else world.script[0]
        token = world.tokens.pop(0) if world.tokens and not isinstance(outcome, Exception) else None
        return Running(outcome, token)


async def get(caller: Caller, within: timedelta | None = None) -> read_pb2.GetMemoryResponse:
    return await caller.call(methods.GET, REQUEST, user="ines", within=within)


async def test_a_call_is_made_again_until_it_succeeds() -> None:
    world = World([refused(service_errors.StoreDown()), refused(service_errors.UnknownOutcome()), ANSWER])
    assert await get(world.caller()) == ANSWER
    assert world.sleeps == [0.025, 0.05]


async def test_a_call_ends_with_its_last_error_when_time_is_up() -> None:
    world = World([refused(service_errors.StoreDown())], call_seconds=0.1)
    with pytest.raises(errors.StoreDown):
        await get(world.caller(), within=timedelta(seconds=3))
    assert 2.0 < world.now <= 3.2


async def test_each_try_has_what_is_left_of_the_deadline() -> None:
    world = World([UNREACHABLE, ANSWER], call_seconds=4.0)
    await get(world.caller())
    assert [timeout for _, timeout, _ in world.sent] == [10.0, pytest.approx(5.975)]


async def test_an_error_after_repeats_says_what_the_one_before_was() -> None:
    late = grpc.aio.AioRpcError(
        grpc.StatusCode.DEADLINE_EXCEEDED, grpc.aio.Metadata(), grpc.aio.Metadata(), "too late"
    )
    world = World([refused(service_errors.StoreDown()), late])
    with pytest.raises(errors.DeadlineExceeded) as raised:
        await get(world.caller())
    assert isinstance(raised.value.__cause__, errors.StoreDown)


async def test_a_call_that_may_not_be_made_twice_is_made_once() -> None:
    world = World([UNREACHABLE, admin_pb2.ReplayDeadLettersResponse(replayed=1)])
    with pytest.raises(errors.Unreachable):
        await world.caller().call(methods.REPLAY, admin_pb2.ReplayDeadLettersRequest(all=True))
    assert len(world.sent) == 1


async def test_the_next_edge_is_asked_at_once_and_kept_while_the_first_rests() -> None:
    world = World([UNREACHABLE, ANSWER])
    caller = world.caller(edges=3)
    await get(caller)
    await get(caller)
    assert [index for index, _, _ in world.sent] == [0, 1, 1]
    assert world.sleeps == []


async def test_an_edge_that_failed_is_called_again_once_it_was_seen_to_be_well() -> None:
    world = World([UNREACHABLE, ANSWER])
    caller = world.caller(edges=2)
    await get(caller)
    for well, called in ((False, 1), (True, 1), (True, 0)):
        world.well = well
        world.now += 10.0
        await get(caller)
        assert world.sent[-1][0] == called
        await asyncio.sleep(0)
    assert world.looks == [0, 0]


async def test_repeats_add_little_to_an_overload() -> None:
    """One in a while tries for all who wait; they are told in time."""
    world = World([refused(service_errors.Overloaded(retry_delay=timedelta(milliseconds=100)))])
    caller, world.together = world.caller(), 1_000
    calls = [get(caller, within=timedelta(seconds=0.5)) for _ in range(world.together)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, errors.Overloaded) for outcome in outcomes)
    assert len(world.sent) < 100


@dataclass
class Busy(World):
    """Takes two calls at a time and refuses all others, in these words."""

    refusal: type[service_errors.ReverieError] = service_errors.Overloaded
    delay: timedelta = timedelta(milliseconds=10)
    under_way: int = 0
    refusals: int = 0
    many_refused: asyncio.Event = field(default_factory=asyncio.Event)

    def link(self, index: int) -> "BusyLink":
        return BusyLink(self, index)


class BusyLink(Link):
    def start(self, *_call: object) -> "asyncio.Future[Message]":  # type: ignore[override]
        return asyncio.ensure_future(self._answer())

    async def _answer(self) -> Message:
        world = cast("Busy", self.world)
        if world.under_way == 2:
            world.refusals += 1
            if world.refusals == 1_000:
                world.many_refused.set()
            raise refused(world.refusal(retry_delay=world.delay))
        world.under_way += 1
        await asyncio.sleep(0.001)
        world.under_way -= 1
        return ANSWER


@pytest.mark.parametrize("refusal", [service_errors.Overloaded, service_errors.StoreDown])
async def test_callers_hold_back_what_would_only_be_refused(
    refusal: type[service_errors.ReverieError],
) -> None:
    world = Busy([], refusal=refusal)
    caller, world.together = world.caller(), 1_000
    calls = [caller.call(methods.GET, REQUEST) for _ in range(100)]
    assert await asyncio.gather(*calls) == [ANSWER] * 100
    # All at first, then half of them, and so on; then now and then one that looks whether there is more room.
    assert world.refusals < 2 * 100 + 100 / 2


async def test_who_was_refused_comes_before_those_who_came_later() -> None:
    world = Busy([], together=1_000, under_way=2)
    caller = world.caller()
    done: list[str] = []

    async def call(who: str) -> None:
        await caller.call(methods.GET, REQUEST)
        done.append(who)

    async with asyncio.TaskGroup() as running:
        for _ in range(700):
            running.create_task(call("early"))
        await world.many_refused.wait()
        world.under_way = 0
        world.now += 0.001
        for _ in range(100):
            running.create_task(call("late"))
    assert done.index("late") > 600


@pytest.mark.parametrize(
    ("refusal", "told"),
    [(service_errors.Overloaded, errors.Overloaded), (service_errors.StoreDown, errors.StoreDown)],
)
async def test_who_had_no_turn_in_time_is_told_what_the_others_were(
    refusal: type[service_errors.ReverieError], told: type[errors.ReverieError]
) -> None:
    world = Busy([], under_way=2, refusal=refusal, delay=timedelta(seconds=10))
    caller = world.caller()
    for _ in range(2):
        with pytest.raises(told):
            await caller.call(methods.GET, REQUEST, within=timedelta(seconds=1))
    with pytest.raises(told, match="no turn before its deadline") as held_back:
        await caller.call(methods.GET, REQUEST, within=timedelta(seconds=0.01))
    assert held_back.value.reason == refusal.reason


@pytest.mark.parametrize("last", [service_errors.Overloaded(), service_errors.StoreDown()])
async def test_a_write_that_may_have_happened_is_not_told_that_nothing_did(
    last: service_errors.ReverieError,
) -> None:
    lost = refused(service_errors.UnknownOutcome())
    create = ingest_pb2.CreateMemoryRequest(parent="users/ines")
    with pytest.raises(errors.UnknownOutcome, match=f"an earlier try may have happened.*{last.summary}"):
        await World([lost, refused(last)]).caller().call(methods.CREATE, create)
    with pytest.raises(errors.ReverieError) as nothing:
        await World([refused(last)]).caller().call(methods.CREATE, create)
    with pytest.raises(errors.ReverieError) as read:
        await get(World([lost, refused(last)]).caller())
    assert nothing.value.reason == read.value.reason == last.reason


async def test_the_delay_that_an_overloaded_service_asks_for_is_kept() -> None:
    world = World([refused(service_errors.Overloaded(retry_delay=timedelta(milliseconds=300))), ANSWER])
    assert await get(world.caller()) == ANSWER
    assert world.sleeps == [0.3]


async def test_an_error_of_a_service_behind_an_edge_is_no_reason_to_leave_it() -> None:
    world = World([refused(service_errors.StoreDown()), ANSWER])
    await get(world.caller(edges=2))
    assert [index for index, _, _ in world.sent] == [0, 0]


async def test_the_session_sends_the_token_of_the_answer_before() -> None:
    world = World([ANSWER], tokens=["first", "second"])
    caller = world.caller()
    for _ in range(3):
        await get(caller)
    assert [metadata.get("reverie-token") for _, _, metadata in world.sent] == [None, "first", "second"]


async def test_calls_for_nobody_carry_no_session() -> None:
    world = World([ANSWER], tokens=["first"])
    caller = world.caller()
    caller.sessions.learn("ines", "hers")
    await caller.call(methods.GET, REQUEST)
    assert "reverie-token" not in world.sent[0][2]
    assert caller.sessions.token("ines") == "hers"


async def test_a_consistency_token_that_is_refused_is_dropped_and_the_call_made_without_it() -> None:
    world = World([refused(service_errors.TokenInvalid()), ANSWER])
    caller = world.caller()
    caller.sessions.learn("ines", "of keys long gone")
    assert await get(caller) == ANSWER
    assert [metadata.get("reverie-token") for _, _, metadata in world.sent] == ["of keys long gone", None]


async def test_a_page_token_that_is_refused_is_the_callers_error() -> None:
    world = World([refused(service_errors.TokenInvalid())])
    caller = world.caller()
    caller.sessions.learn("ines", "fine")
    with pytest.raises(errors.TokenInvalid):
        await get(caller)
    assert len(world.sent) == 2


async def test_a_refused_jwt_is_renewed_once() -> None:
    given = iter(["old", "new"])
    world = World([refused(service_errors.Unauthenticated()), ANSWER])
    await get(world.caller(token=lambda: next(given)))
    assert [metadata["authorization"] for _, _, metadata in world.sent] == ["Bearer old", "Bearer new"]


async def test_a_jwt_that_cannot_be_renewed_is_refused_for_good() -> None:
    world = World([refused(service_errors.Unauthenticated())])
    with pytest.raises(errors.Unauthenticated):
        await get(world.caller(token="fixed"))
    assert len(world.sent) == 1
