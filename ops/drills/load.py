"""An open-loop load: calls arrive at a given rate, whether those before them were answered or not.

Ordinary clients make them, one connection for each zone with the edges in the order of that zone, with the
client's own retries. Latencies count from the intended arrival, so a generator that is held up does not
hide what callers would have waited.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, count
from random import Random
from uuid import uuid4

import reverie_client
from ops.drills.journal import Journal
from ops.drills.measure import Call
from ops.drills.people import WRITES, Person, World
from ops.local import identity
from ops.local.platform import Platform
from reverie_client import Reverie, ReverieError
from services.runtime.clock import MonotonicClock, monotonic

_FEWEST_CONNECTIONS = 2
"""A token is handed from one connection to another."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked of the platform."""

    rate: float = 220.0
    """Calls a second, of all users together."""
    users: int = 8
    mix: Mapping[str, float] = field(
        default_factory=lambda: {"create": 30, "update": 12, "delete": 4, "read": 36, "search": 18}
    )
    """The share of each kind of call."""

    def slower(self, rate: float) -> "Traffic":
        """The same at another rate."""
        return replace(self, rate=rate)


class Load:
    """Calls without end, and the journal of them."""

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
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._kinds = [*traffic.mix]
        self._weights = [*accumulate(traffic.mix.values())]

    def start(self) -> None:
        """Begins."""
        self._running = asyncio.create_task(self._run())

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

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as calls:
            began = self._clock()
            for number in count():
                due = began + number / self._traffic.rate
                if await self._stopped_by(due):
                    return
                calls.create_task(self._call(number, due))

    async def _stopped_by(self, moment: float) -> bool:
        """Sleeps until then, and lets others go on even where that is past."""
        await asyncio.sleep(max(0.0, moment - self._clock()))
        return self._stopping.is_set()

    async def _call(self, number: int, due: float) -> None:
        person = self.people[number % len(self.people)]
        kind = person.can(self._chance.choices(self._kinds, cum_weights=self._weights)[0])
        error = ""
        try:
            await person.does[kind](number)
        except ReverieError as raised:
            error = f"{type(raised).__name__} {raised.reason}".rstrip()
        ended = self._clock()
        if not error:
            self.answers.append(ended)
        self.calls.append(Call(kind, kind in WRITES, due, ended, error))


@contextlib.asynccontextmanager
async def load(
    platform: Platform, traffic: Traffic, seed: int, clock: MonotonicClock = monotonic
) -> AsyncIterator[Load]:
    """A load that was not started yet. What is still under way at the end is abandoned."""
    chance = Random(seed)  # noqa: S311  (a drill that can be repeated, not a secret)
    # Not by the seed: users of an earlier run with it would bring what that run sent.
    run = uuid4().hex[:12]
    world = World(Journal(), chance, clock, f"drill-{run}")
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client) for client in clients_of(platform)]
        people = [_person(f"drill-{run}-{number}", clients, number, world) for number in range(traffic.users)]
        working = Load(people, traffic, world)
        try:
            yield working
        finally:
            await working.abandon()


def clients_of(platform: Platform) -> list[Reverie]:
    """A connection from each zone; at least two."""
    number = max(_FEWEST_CONNECTIONS, len(platform.endpoint.public))
    return [client_from(platform, zone) for zone in range(number)]


def client_from(platform: Platform, zone: int) -> Reverie:
    """A connection with the edges in the order of one zone, by its place; it may act for any user."""
    endpoint = platform.endpoint
    first = zone % len(endpoint.public)
    edges = (*endpoint.public[first:], *endpoint.public[:first])
    return reverie_client.connect(edges, ca=endpoint.ca, token=platform.token(scopes=(identity.ANY_USER,)))


def _person(name: str, clients: Sequence[Reverie], number: int, world: World) -> Person:
    home = number % len(clients)
    writer, reader = clients[home], clients[(home + 1) % len(clients)]
    return Person(writer.user(name), reader.user(name), world)
