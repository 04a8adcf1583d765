"""Imports that are interrupted: an edge, an ingest and a storage die in the middle of each."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import geometric_mean
from typing import Any
from uuid import uuid4

from ops.drills import checker, database
from ops.drills.checker import Finding, Seen
from ops.drills.faults import Account, Fault, Killed
from ops.drills.journal import Journal, Kind, Operation, Outcome, digest_of, mark_of
from ops.drills.load import client_from
from ops.drills.people import outcome_of
from ops.drills.readback import WITHIN, seen_by
from ops.drills.scene import EDGE, Scene
from reverie_client import Ids, NewMemory, Reverie, ReverieError, Source, User
from reverie_client.content import to_message
from services.runtime.clock import MonotonicClock, monotonic

RATE = "rate_vs_undisturbed"
IMPORTED = "imported_share"
_BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
_APART = timedelta(minutes=1)
Interruptions = Mapping[int, Callable[[], Awaitable[None]]]
"""What happens once so many memories were answered for."""
_NOTHING: Interruptions = {}
_TURNS = 2
_BACK_WITHIN = timedelta(seconds=60)
_PARTS = 8
"""How many stretches of time are read back at once."""


@dataclass(slots=True)
class Import:
    """One import, and the account of it."""

    user: User
    journal: Journal
    work: Sequence[tuple[NewMemory, Operation]]
    seconds: float = 0.0

    @staticmethod
    def prepared(user: User, size: int) -> "Import":
        """Everything is in the journal before it begins: until its outcome is noted nobody knows it."""
        journal, conversation, ids = Journal(), f"import-{uuid4().hex[:12]}", Ids()
        work = []
        for number in range(size):
            new = _memory(number, conversation, ids)
            message = to_message(new)
            assert new.id is not None
            digest, mark = digest_of(message), mark_of(message)
            work.append((new, journal.begin(user.user_id, new.id, Kind.CREATE, digest, mark, 0.0)))
        return Import(user, journal, work)

    @property
    def size(self) -> int:
        """How many memories it has."""
        return len(self.work)

    @property
    def rate(self) -> float:
        """Memories a second; 0 if it did not come to its end."""
        return self.size / self.seconds if self.seconds else 0.0

    @property
    def acknowledged(self) -> int:
        """How many were."""
        return sum(operation.outcome is Outcome.OK for _, operation in self.work)

    async def run(self, clock: MonotonicClock, interruptions: Interruptions) -> None:
        """Hands all of it over on one stream. After so many memories those things happen."""
        operations, began = iter(self.work), clock()
        async with aclosing(self.user.create_stream(new for new, _ in self.work)) as outcomes:
            number = 0
            async for outcome in outcomes:
                _, operation = next(operations)
                told = Outcome.OK if outcome.error is None else outcome_of(outcome.error)
                self.journal.end(operation, told, clock())
                number += 1
                if number in interruptions:
                    await interruptions[number]()
        self.seconds = clock() - began

    async def read_back(self) -> list[Seen]:
        """Everything that is there, in several stretches of time at once."""
        step = max(1, -(-len(self.work) // _PARTS))
        found = await asyncio.gather(*(self._stretch(at, at + step) for at in range(0, len(self.work), step)))
        return [seen for stretch in found for seen in stretch]

    async def _stretch(self, first: int, after: int) -> list[Seen]:
        since, until = _BEGAN + first * _APART, _BEGAN + after * _APART
        listing = self.user.timeline(since=since, until=until, within=WITHIN)
        return [seen_by(self.user, memory) async for memory in listing]


@dataclass(frozen=True, slots=True)
class _Turn:
    """An import that is to be interrupted: whose client it is, and who dies, a quarter of it apart."""

    reverie: Reverie
    kills: Sequence[Killed]


class Interrupted(Fault):
    """Imports in turn, undisturbed and while three processes die that they go through.

    In turn, and some of each, as a machine with neighbours is not as fast in one second as in the next, and
    what came first is analysed beside what comes later. The client of a turn begins at one zone's edge, which
    dies first; then the ingest and the storage of the next zone die, where it goes on. The next turn begins
    in that zone.
    """

    def __init__(self, scene: Scene, size: int, undisturbed: int, clock: MonotonicClock = monotonic) -> None:
        self._scene = scene
        self._size = size
        self._undisturbed = undisturbed
        self._clock = clock
        first = scene.zones.index(scene.one_of(list(scene.zones)))
        self._turns = [self._turn(first + number) for number in range(_TURNS)]
        self.victims = [victim for turn in self._turns for kill in turn.kills for victim in kill.victims]
        self._calm: list[Import] = []
        self._disturbed: list[Import] = []

    def _turn(self, number: int) -> _Turn:
        zones = self._scene.zones
        first, second = number % len(zones), (number + 1) % len(zones)
        victims = (f"{EDGE}-{zones[first]}-0", f"ingest-{zones[second]}-0", f"storage-{zones[second]}-0")
        return _Turn(
            client_from(self._scene.platform, first), [Killed(self._scene, [name]) for name in victims]
        )

    async def strike(self) -> None:
        """All imports, from the first memory to the last. TimeoutError if the dead do not come back."""
        await self._import(self._turns[0].reverie, self._undisturbed, self._calm)
        for turn in self._turns:
            quarters = [self._size * quarter // 4 for quarter in (1, 2, 3)]
            kills = [functools.partial(self._kill, kill) for kill in turn.kills]
            interruptions = dict(zip(quarters, kills, strict=True))
            await self._import(turn.reverie, self._size, self._disturbed, interruptions)
            await self._scene.platform.wait_healthy(_BACK_WITHIN)
            await self._import(turn.reverie, self._undisturbed, self._calm)

    async def _import(
        self, reverie: Reverie, size: int, into: list[Import], interruptions: Interruptions = _NOTHING
    ) -> None:
        self._scene.say(f"importing {size:,} memories")
        one = await asyncio.to_thread(Import.prepared, reverie.user(f"import-{uuid4().hex[:12]}"), size)
        # Before it begins: also what does not come to its end is read back, and taken away.
        into.append(one)
        await one.run(self._clock, interruptions)
        self._scene.say(f"{one.rate:,.0f} memories/s {'interrupted' if interruptions else 'undisturbed'}")

    async def _kill(self, kill: Killed) -> None:
        self.recovers_from = self._clock()
        self.fell_at = self.fell_at or self.recovers_from
        await kill.strike()

    @property
    def _kills(self) -> list[Killed]:
        return [kill for turn in self._turns for kill in turn.kills]

    @property
    def _all(self) -> list[Import]:
        return [*self._calm, *self._disturbed]

    def is_over(self) -> bool:
        """Whether each victim was started again."""
        return all(kill.is_over() for kill in self._kills)

    def proof(self) -> Mapping[str, Any]:
        """Who died, and how fast the imports were."""
        return {
            "killed": [each for kill in self._kills for each in kill.proof()["killed"]],
            "imported": [one.acknowledged for one in self._disturbed],
            "memories_per_second": [round(one.rate) for one in self._disturbed],
            "undisturbed_memories_per_second": [round(one.rate) for one in self._calm],
        }

    def took_place(self) -> bool:
        """Whether each victim died by a signal in the middle of it."""
        return all(kill.took_place() for kill in self._kills)

    async def reckoning(self) -> Account:
        """Compares what is there with what was acknowledged."""
        findings: list[Finding] = []
        try:
            for one in self._all:
                self._scene.say(f"reading back {len(one.work):,} memories")
                findings += checker.check(one.journal, await one.read_back())
        except ReverieError as error:
            return Account(obstacle=f"an import can't be read back: {error.code.name} {error}")
        disturbed = sum(one.acknowledged for one in self._disturbed)
        ratios = {IMPORTED: disturbed / (self._size * _TURNS)}
        if len(self._calm) > _TURNS and all(one.seconds for one in self._all):
            ratios[RATE] = round(rate_vs_undisturbed(self._disturbed, self._calm), 3)
        return Account(sum(one.acknowledged for one in self._all), findings, ratios)

    async def leave(self) -> None:
        """Takes it out of the database: the next drill is not to wait for its analysis."""
        for turn in self._turns:
            await turn.reverie.close()
        await database.forget(self._scene.platform, [one.user.user_id for one in self._all])


def rate_vs_undisturbed(disturbed: Sequence[Import], calm: Sequence[Import]) -> float:
    """The geometric mean of each one's rate over that of the two undisturbed ones around it.

    `calm` has one more than `disturbed`, and every one has come to its end.
    """
    around = [
        (before.size + after.size) / (before.seconds + after.seconds) for before, after in pairwise(calm)
    ]
    return geometric_mean([one.rate / rate for one, rate in zip(disturbed, around, strict=True)])


def _memory(number: int, conversation: str, ids: Ids) -> NewMemory:
    return NewMemory(
        f"Saw lighthouse{number} from the ferry at {number} past, and the sea was as calm as a lake.",
        id=ids.mint(),
        occurred_at=_BEGAN + number * _APART,
        source=Source(conversation, position=number),
    )
