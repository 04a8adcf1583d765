"""A stream over links that break as a script says, on a clock that skips what is waited for."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import grpc
import pytest

from reverie.ingest.v1 import ingest_pb2
from reverie_client import errors
from reverie_client.answers import Outcome
from reverie_client.calling import Caller, Environment
from reverie_client.content import NewMemory
from reverie_client.credentials import Credentials, TokenSource
from reverie_client.edges import Edges
from reverie_client.exchange import Exchange
from reverie_client.ids import Ids
from reverie_client.links import Links
from reverie_client.retry import NO_RETRY, RetryPolicy
from reverie_client.user import User
from services.runtime import errors as service_errors
from tests.unit.client.test_calling import UNREACHABLE, refused
from tests.unit.ingest.skipping import run

WINDOW = 40
BROKEN = grpc.aio.AioRpcError(
    grpc.StatusCode.INTERNAL,
    grpc.aio.Metadata(),
    grpc.aio.Metadata(),
    "RST_STREAM, error code 2",
)


@dataclass
class Script:
    """How one stream goes."""

    acknowledges: int | None = None
    """After so many acknowledgements it ends; None: when the client has sent all."""
    ends_with: Exception | None = None
    silent: bool = False
    """Whether it then says nothing more, in place of ending."""
    opens: bool = True
    runs: bool = False
    """Whether it acknowledges each item alone, or what it can as runs."""
    columns: bool = False
    """Whether it takes columns."""


class Call:
    """One stream as gRPC hands it over; its other side commits at once and acknowledges what it read."""

    def __init__(self, world: "World", script: Script) -> None:
        self._world = world
        self._script = script
        self._requests: asyncio.Queue[ingest_pb2.StreamMemoriesRequest | None] = asyncio.Queue()
        self._opened = self._begun = False
        self._acknowledged = 0
        self.unanswered: set[int] = set()
        self.ended = False

    async def write(self, encoded: bytes) -> None:
        if self.ended:
            raise asyncio.InvalidStateError
        request = ingest_pb2.StreamMemoriesRequest.FromString(encoded)
        assert self._script.columns or not request.HasField("columns")
        request.items.extend(_items(request.columns))
        assert request.takes_runs == (not self._begun)
        self._begun = True
        for item in request.items:
            assert item.sequence not in self.unanswered
            self.unanswered.add(item.sequence)
        assert len(self.unanswered) <= WINDOW
        self._requests.put_nowait(request)

    async def done_writing(self) -> None:
        self._requests.put_nowait(None)

    async def read(self) -> Any:
        if not self._script.opens:
            await self._end()
        if not self._opened:
            self._opened = True
            return ingest_pb2.StreamMemoriesResponse(window=WINDOW, takes_columns=self._script.columns)
        if self._script.acknowledges is not None and self._acknowledged >= self._script.acknowledges:
            await self._end()
        request = await self._requests.get()
        if request is None:
            return grpc.aio.EOF
        return self._acknowledge(request)

    def cancel(self) -> None:
        self.ended = True

    def _acknowledge(self, request: ingest_pb2.StreamMemoriesRequest) -> ingest_pb2.StreamMemoriesResponse:
        response = ingest_pb2.StreamMemoriesResponse(consistency_token="seen")
        for item in request.items:
            self._world.commit(item)
            if self._script.acknowledges is None or self._acknowledged < self._script.acknowledges:
                self._acknowledged += 1
                self.unanswered.discard(item.sequence)
                self._put(response, item)
        return response

    def _put(self, response: ingest_pb2.StreamMemoriesResponse, item: ingest_pb2.StreamItem) -> None:
        if self._script.runs:
            response.runs.add(first_sequence=item.sequence, count=1)
        else:
            response.results.add(sequence=item.sequence).result.memory.name = item.request.memory_id

    async def _end(self) -> None:
        if self._script.silent:
            await asyncio.Event().wait()
        self.ended = True
        assert self._script.ends_with is not None
        raise self._script.ends_with


def _items(columns: ingest_pb2.MemoryColumns) -> Iterator[ingest_pb2.StreamItem]:
    for at, (sequence, text) in enumerate(zip(columns.sequences, columns.texts, strict=True)):
        memory_id = str(UUID(bytes=columns.ids[16 * at :][:16]))
        yield ingest_pb2.StreamItem(
            sequence=sequence, request={"memory_id": memory_id, "memory": {"text": text}}
        )


@dataclass
class World:
    """Edges, what was committed behind them, and how the next streams go; after those all goes well."""

    scripts: list[Script] = field(default_factory=list)
    last: Script = field(default_factory=Script)
    committed: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    streams: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    def commit(self, item: ingest_pb2.StreamItem) -> None:
        self.sent += 1
        request = item.request
        assert self.committed.setdefault(request.memory_id, request.memory.text) == request.memory.text

    def link(self, index: int) -> Any:
        @dataclass
        class Link:
            world: World

            def exchange(self, _method: object, metadata: Any) -> Exchange[Any]:
                self.world.streams.append((index, dict(metadata)))
                scripts = self.world.scripts
                return Exchange(Call(self.world, scripts.pop(0) if scripts else self.world.last))

        return Link(self)

    def user(self, edges: int = 1, token: TokenSource = None, policy: RetryPolicy | None = None) -> User:
        loop = asyncio.get_running_loop()
        environment = Environment(loop.time, lambda: 1e9 + loop.time(), asyncio.sleep, lambda: 0.0)
        credentials = Credentials(token, environment.wall_clock)
        links = cast("Links", self)
        caller = Caller(links, Edges(edges), credentials, policy or RetryPolicy(), environment)
        return User("ines", caller, Ids())


def memories(count: int) -> Iterator[NewMemory]:
    return (NewMemory(f"memory {number}") for number in range(count))


async def _collect(into: list[Outcome], stream: AsyncIterator[Outcome]) -> None:
    async for outcome in stream:
        into.append(outcome)  # noqa: PERF401  (what came before a failure counts)


async def outcomes(user: User, count: int, **options: Any) -> list[Outcome]:
    options = {"frame": 10, **options}
    found = [outcome async for outcome in user.create_stream(memories(count), **options)]
    assert [outcome.new.text for outcome in found] == [f"memory {number}" for number in range(count)]
    return found


def test_every_memory_has_one_outcome_in_the_order_given() -> None:
    async def main() -> None:
        world = World()
        user = world.user()
        found = await outcomes(user, 205)
        assert all(outcome.created and outcome.error is None for outcome in found)
        assert list(world.committed.values()) == [f"memory {number}" for number in range(205)]
        assert (world.sent, len(world.streams)) == (205, 1)
        assert user.consistency_token == "seen"

    run(main())


def test_a_frame_larger_than_the_window_is_cut_to_it() -> None:
    async def main() -> None:
        world = World([Script(25, UNREACHABLE)])
        await outcomes(world.user(), 205, frame=100)
        assert list(world.committed.values()) == [f"memory {number}" for number in range(205)]

    run(main())


def test_a_memory_that_no_frame_holds_fails_alone_and_at_once() -> None:
    async def main() -> None:
        async def slow() -> AsyncIterator[NewMemory]:
            yield NewMemory("x" * 1024 * 1024)
            await asyncio.sleep(300)
            yield NewMemory("small")

        heard = [
            (outcome, asyncio.get_running_loop().time())
            async for outcome in World().user().create_stream(slow())
        ]
        assert isinstance(heard[0][0].error, errors.TooLarge)
        assert heard[1][0].created
        assert [at for _, at in heard] == [0, 300]

    run(main())


def test_a_frame_of_nothing_is_told() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="1 memory or more"):
            World().user().create_stream(memories(1), frame=0)

    run(main())


def test_nothing_to_create_begins_no_stream() -> None:
    async def main() -> None:
        world = World()
        assert await outcomes(world.user(), 0) == []
        assert world.streams == []

    run(main())


ENDS = [
    UNREACHABLE,
    BROKEN,
    refused(service_errors.Draining()),
    refused(service_errors.UnknownOutcome()),
    refused(service_errors.StoreDown()),
    refused(service_errors.Overloaded()),
]


@pytest.mark.parametrize("new", [False, True], ids=["items", "columns"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: str(end.details()))
def test_what_has_no_acknowledgement_is_sent_again_with_its_id(end: Exception, new: bool) -> None:
    async def main() -> None:
        # Edges of two versions, in turn.
        before, after = Script(25, end, runs=new, columns=new), Script(13, end, runs=not new, columns=not new)
        world = World([before, Script(0, end), after])
        await outcomes(world.user(), 205)
        assert list(world.committed.values()) == [f"memory {number}" for number in range(205)]
        assert len(world.streams) == 4

    run(main())


def test_a_lost_edge_is_left_for_the_next_at_once() -> None:
    async def main() -> None:
        world = World([Script(25, UNREACHABLE)])
        await outcomes(world.user(edges=3), 100)
        assert [index for index, _ in world.streams] == [0, 1]
        assert asyncio.get_running_loop().time() == 0

    run(main())


@pytest.mark.parametrize("script", [Script(25, silent=True), Script(opens=False, silent=True)])
def test_a_stream_that_falls_silent_is_left(script: Script) -> None:
    async def main() -> None:
        world = World([script])
        await outcomes(world.user(edges=2), 100)
        assert [index for index, _ in world.streams] == [0, 1]
        assert 5 <= asyncio.get_running_loop().time() <= 10

    run(main())


def test_a_stream_that_gets_nowhere_is_given_up_with_what_keeps_it() -> None:
    async def main() -> None:
        world = World([Script(25, UNREACHABLE)], last=Script(0, refused(service_errors.StoreDown())))
        got: list[Outcome] = []
        with pytest.raises(errors.StoreDown):
            await _collect(got, world.user().create_stream(memories(100), frame=10))
        assert len(got) == 25
        assert 58 < asyncio.get_running_loop().time() <= 60

    run(main())


def test_patience_counts_from_the_last_acknowledgement() -> None:
    async def main() -> None:
        scripts = [Script(number, refused(service_errors.StoreDown())) for number in (0, 0, 0, 1) * 20]
        world = World(scripts)
        await outcomes(world.user(), 100, patience=timedelta(seconds=1))

    run(main())


def test_with_no_retry_the_first_failure_is_the_caller_s() -> None:
    async def main() -> None:
        world = World([Script(25, UNREACHABLE)])
        with pytest.raises(errors.Unreachable):
            await outcomes(world.user(policy=NO_RETRY), 100)
        assert len(world.streams) == 1

    run(main())


def test_an_expired_jwt_is_renewed_and_the_stream_goes_on() -> None:
    async def main() -> None:
        tokens = iter(["first", "second"])
        world = World([Script(25, refused(service_errors.Unauthenticated()))])
        await outcomes(world.user(token=lambda: next(tokens)), 100)
        assert [metadata["authorization"] for _, metadata in world.streams] == [
            "Bearer first",
            "Bearer second",
        ]

    run(main())


def test_a_jwt_that_stays_refused_is_the_caller_s() -> None:
    async def main() -> None:
        world = World(last=Script(0, refused(service_errors.Unauthenticated())))
        with pytest.raises(errors.Unauthenticated):
            await outcomes(world.user(token=lambda: "same"), 100)
        assert len(world.streams) == 2
        with pytest.raises(errors.Unauthenticated):
            await outcomes(world.user(token="fixed"), 100)
        assert len(world.streams) == 3

    run(main())


def test_what_is_wrong_with_the_stream_itself_is_raised_at_once() -> None:
    async def main() -> None:
        world = World([Script(0, refused(service_errors.UserForbidden()))])
        with pytest.raises(errors.UserForbidden):
            await outcomes(world.user(), 10)

    run(main())


def test_a_slow_source_sends_what_it_has_and_may_pause_for_long() -> None:
    async def main() -> None:
        world = World([Script(3, refused(service_errors.Draining()))])

        async def slow() -> AsyncIterator[NewMemory]:
            for number in range(6):
                await asyncio.sleep(300)
                yield NewMemory(f"memory {number}")

        heard = [asyncio.get_running_loop().time() async for _ in world.user().create_stream(slow())]
        assert heard == [300, 600, 900, 1200, 1500, 1800]
        assert len(world.streams) == 2

    run(main())


def test_no_more_is_read_than_the_window_holds() -> None:
    async def main() -> None:
        world = World()
        read = 0

        def counted() -> Iterator[NewMemory]:
            nonlocal read
            for new in memories(1000):
                read += 1
                yield new

        stream = world.user().create_stream(counted(), frame=10)
        for taken in range(1, 200):
            await anext(stream)
            assert read <= taken + WINDOW
        await stream.aclose()

    run(main())


def test_a_source_that_fails_fails_the_stream() -> None:
    async def main() -> None:
        def failing() -> Iterator[NewMemory]:
            yield from memories(5)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async for _ in World().user().create_stream(failing()):
                pass

    run(main())
