"""An import that is interrupted: an edge, an ingest and a storage die in the middle of it."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
from reverie_client import Ids, NewMemory, ReverieError, Source, User
from reverie_client.content import to_message
from services.runtime.clock import MonotonicClock, monotonic

RATE = "rate_vs_undisturbed"
IMPORTED = "imported_share"
_BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
_APART = timedelta(minutes=1)
Interruptions = Mapping[int, Callable[[], Awaitable[None]]]
"""What happens once so many memories were answered for."""
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
    def rate(self) -> float:
        """Memories a second; 0 if it did not come to its end."""
        return len(self.work) / self.seconds if self.seconds else 0.0

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


class Interrupted(Fault):
    """Imports undisturbed, while three processes die that it goes through, and undisturbed again.

    Before and after, as a machine with neighbours is not as fast in one minute as in the next, and what came
    first is analysed beside what comes later. The client begins at one zone's edge, which dies first; then
    the ingest and the storage of the next zone die, where the client goes on.
    """

    def __init__(self, scene: Scene, size: int, undisturbed: int, clock: MonotonicClock = monotonic) -> None:
        self._scene = scene
        self._size = size
        self._undisturbed = undisturbed
        self._clock = clock
        self._zone = scene.zones.index(scene.one_of(list(scene.zones)))
        first, second = (scene.zones[(self._zone + step) % len(scene.zones)] for step in (0, 1))
        self.victims = (f"{EDGE}-{first}-0", f"ingest-{second}-0", f"storage-{second}-0")
        self._kills = [Killed(scene, [name]) for name in self.victims]
        self._reverie = client_from(scene.platform, self._zone)
        self._calm: list[Import] = []
        self._disturbed = Import(self._reverie.user("nobody"), Journal(), ())

    async def strike(self) -> None:
        """All three imports, from the first memory to the last. TimeoutError if the dead do not come back."""
        await self._undisturbed_one()
        quarters = [self._size * quarter // 4 for quarter in (1, 2, 3)]
        kills = [functools.partial(self._kill, kill) for kill in self._kills]
        self._disturbed = await self._prepared(self._size)
        await self._disturbed.run(self._clock, dict(zip(quarters, kills, strict=True)))
        await self._scene.platform.wait_healthy(_BACK_WITHIN)
        await self._undisturbed_one()
        self._scene.say(
            f"{self._calm_rate:,.0f} memories/s undisturbed, {self._disturbed.rate:,.0f} interrupted"
        )

    async def _undisturbed_one(self) -> None:
        self._calm.append(await self._prepared(self._undisturbed))
        await self._calm[-1].run(self._clock, {})

    @property
    def _calm_rate(self) -> float:
        """Memories a second of the undisturbed ones together; 0 if one did not come to its end."""
        if not self._calm or not all(one.seconds for one in self._calm):
            return 0.0
        return len(self._calm) * self._undisturbed / sum(one.seconds for one in self._calm)

    @property
    def _all(self) -> list[Import]:
        return [*self._calm, self._disturbed]

    async def _prepared(self, size: int) -> Import:
        self._scene.say(f"importing {size:,} memories")
        return await asyncio.to_thread(
            Import.prepared, self._reverie.user(f"import-{uuid4().hex[:12]}"), size
        )

    async def _kill(self, kill: Killed) -> None:
        self.fell_at = self.fell_at or self._clock()
        await kill.strike()

    def is_over(self) -> bool:
        """Whether each victim was started again."""
        return all(kill.is_over() for kill in self._kills)

    def proof(self) -> Mapping[str, Any]:
        """Who died, and how fast the imports were."""
        return {
            "killed": [each for kill in self._kills for each in kill.proof()["killed"]],
            "imported": self._disturbed.acknowledged,
            "memories_per_second": round(self._disturbed.rate),
            "undisturbed_memories_per_second": round(self._calm_rate),
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
        acknowledged = sum(one.acknowledged for one in self._all)
        ratios = {IMPORTED: self._disturbed.acknowledged / self._size}
        if calm := self._calm_rate:
            ratios[RATE] = round(self._disturbed.rate / calm, 3)
        return Account(acknowledged, findings, ratios)

    async def leave(self) -> None:
        """Takes it out of the database: the next drill is not to wait for its analysis."""
        await self._reverie.close()
        users = [one.user.user_id for one in self._all if one.work]
        await database.forget(self._scene.platform, users)


def _memory(number: int, conversation: str, ids: Ids) -> NewMemory:
    return NewMemory(
        f"Saw lighthouse{number} from the ferry at {number} past, and the sea was as calm as a lake.",
        id=ids.mint(),
        occurred_at=_BEGAN + number * _APART,
        source=Source(conversation, position=number),
    )
