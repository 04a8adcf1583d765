"""An open-loop load: calls arrive at a given rate, whether those before them were answered or not.

Ordinary clients make them, one connection for each zone with the edges in the order of that zone, with the
client's own retries. Latencies count from the intended arrival, so a generator that is held up does not
hide what callers would have waited.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate, count
from random import Random
from uuid import uuid4

import reverie_client
from ops.drills.journal import Journal
from ops.drills.measure import Call
from ops.drills.people import WRITES, Person, World
from ops.local import identity
from ops.local.platform import Platform
from reverie_client import RetryPolicy, Reverie, ReverieError
from services.runtime.clock import MonotonicClock, monotonic

_FEWEST_CONNECTIONS = 2
"""A token is handed from one connection to another."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked of the platform."""

    rate: float = 205.0
    """Calls a second, of all users together: a gap is one at 200 or more."""
    users: int = 8
    mix: Mapping[str, float] = field(
        default_factory=lambda: {"create": 15, "update": 5, "delete": 2, "read": 70, "search": 8}
    )
    """The share of each kind of call.

    Of so many that two cores carry three zones of it on a slow day too (decision 5): what is to be seen is
    what a fault does, not what a machine without room does.
    """


class Load:
    """Calls of a few people, and the journal of them."""

    def __init__(self, people: Sequence[Person], traffic: Traffic, world: World) -> None:
        self.people = people
        self.journal = world.journal
        self.calls: list[Call] = []
        """Every call that has ended."""
        self.answers: list[float] = []
        """When OK answers came."""
        self._traffic = traffic
        self._chance = world.chance
        self._clock = world.clock
        self._sleep = world.sleep
        self._numbers = count()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._kinds = [*traffic.mix]
        self._weights = [*accumulate(traffic.mix.values())]

    def start(self) -> None:
        """Begins calls at the traffic's rate, without end."""
        self._running = asyncio.create_task(self.arrive(self._traffic.rate, math.inf))

    def check(self) -> None:
        """Raises what ended the load, if it ended by itself: it does so only for a bug."""
        if self._running is not None and self._running.done():
            self._running.result()

    async def stop(self) -> None:
        """Begins no more calls, and returns when those under way have ended, each by its own deadline."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def abandon(self) -> None:
        """Ends everything at once; what was under way stays unknown."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def arrive(self, rate: float, seconds: float, *, at_random: bool = False) -> None:
        """Calls at a rate, for so long; returns when all have ended.

        Evenly; `at_random`: as from callers who know nothing of each other, a Poisson process.
        """
        async with asyncio.TaskGroup() as calls:
            began = self._clock()
            moments = self._random(rate) if at_random else (turn / rate for turn in count())
            for moment in moments:
                if await self._stopped_by(began + moment) or moment >= seconds:
                    return
                calls.create_task(self._call(began + moment))

    def _random(self, rate: float) -> Iterator[float]:
        return accumulate((self._chance.expovariate(rate) for _ in count()), initial=0.0)

    async def saturate(self, callers: int, seconds: float) -> None:
        """Calls one after the other by so many callers, for so long; returns when all have ended.

        Who is told to come again later does so: else they would measure how fast they can be refused.
        """
        ends = self._clock() + seconds

        async def caller() -> None:
            while (now := self._clock()) < ends:
                await self._sleep(await self._call(now))

        await asyncio.gather(*(caller() for _ in range(callers)))

    async def _stopped_by(self, moment: float) -> bool:
        """Sleeps until then, and lets others go on even where that is past."""
        await self._sleep(max(0.0, moment - self._clock()))
        return self._stopping.is_set()

    async def _call(self, due: float) -> float:
        """Makes a call; the seconds after which its caller was told to come again."""
        number, began = next(self._numbers), self._clock()
        person = self.people[number % len(self.people)]
        kind = person.can(self._chance.choices(self._kinds, cum_weights=self._weights)[0])
        error, delay = "", timedelta(0)
        try:
            await person.does[kind](number)
        except ReverieError as raised:
            error = f"{type(raised).__name__} {raised.reason}".rstrip()
            delay = raised.retry_delay or delay
        ended = self._clock()
        if not error:
            self.answers.append(ended)
        self.calls.append(Call(kind, kind in WRITES, due, ended, error, began))
        return delay.total_seconds()


@contextlib.asynccontextmanager
async def load(
    platform: Platform,
    traffic: Traffic,
    seed: int,
    *,
    retry: RetryPolicy | None = None,
    clock: MonotonicClock = monotonic,
) -> AsyncIterator[Load]:
    """A load that was not started yet. What is still under way at the end is abandoned.

    `retry`: how clients repeat calls; None: as ordinary ones do.
    """
    # Not by the seed: users of an earlier run with it would bring what that run sent.
    name = f"drill-{uuid4().hex[:12]}"
    world = World(Journal(), Random(seed), clock, name)  # noqa: S311  (to be repeated, not a secret)
    zones = range(max(_FEWEST_CONNECTIONS, len(platform.endpoint.public)))
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_from(platform, zone, retry)) for zone in zones]
        people = [_person(f"{name}-{number}", clients, number, world) for number in range(traffic.users)]
        working = Load(people, traffic, world)
        try:
            yield working
        finally:
            await working.abandon()


def client_from(platform: Platform, zone: int, retry: RetryPolicy | None = None) -> Reverie:
    """A connection with the edges in the order of one zone, by its place; it may act for any user."""
    endpoint = platform.endpoint
    first = zone % len(endpoint.public)
    edges = (*endpoint.public[first:], *endpoint.public[:first])
    token = platform.token(scopes=(identity.ANY_USER,))
    return reverie_client.connect(edges, ca=endpoint.ca, token=token, retry=retry)


def _person(name: str, clients: Sequence[Reverie], number: int, world: World) -> Person:
    home = number % len(clients)
    writer, reader = clients[home], clients[(home + 1) % len(clients)]
    return Person(writer.user(name), reader.user(name), world)
