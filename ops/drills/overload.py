"""More calls than the platform can answer, by clients who do not wait for each other."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from ops.drills import crowd, measure
from ops.drills.crowd import Arrive, Crowd, Saturate
from ops.drills.faults import Account, Fault
from ops.drills.measure import Call
from ops.drills.scene import Scene
from services.runtime.clock import MonotonicClock, monotonic

SLOWER = "accepted_p95_vs_usual"
TIMES = 3
"""So many times the capacity."""
_PLANNED = 0.7
"""The capacity is this share of what is answered to callers who pause only when told to: see decision 5."""
_PROCESSES = 2
_USERS = 8
_CALLERS = 16
"""In each process, to find out how much it can answer."""
_WARMING = 5.0
"""A platform that has just started answers half of what it can: connections and plans are yet to be made."""
_MEASURED = 3.0
_USUAL = 10.0
_FLOOD = 8.0
_REFUSED = "Overloaded"
_SEEDS = 1_000_000


class Overload(Fault):
    """Finds the capacity, then the p95 that is usual at it, then asks for three times of it."""

    def __init__(self, scene: Scene, clock: MonotonicClock = monotonic) -> None:
        self.victims = ()
        self._scene = scene
        self._clock = clock
        self._seed = scene.chance.randrange(_SEEDS)
        self._stack = AsyncExitStack()
        self._crowd: Crowd | None = None
        self._saturated = 0.0
        self._usual: Sequence[Call] = ()
        self._flood: Sequence[Call] = ()

    async def strike(self) -> None:
        """All three."""
        self._crowd = await self._stack.enter_async_context(
            crowd.gathered(self._scene.platform, _PROCESSES, _USERS, self._seed)
        )
        self._scene.say("finding out how many calls it answers")
        await self._crowd.does(Saturate(_CALLERS, _WARMING))
        saturated = await self._crowd.does(Saturate(_CALLERS, _MEASURED))
        self._saturated = sum(call.ok for call in saturated) / _MEASURED
        self._scene.say(f"{self._capacity:,.0f} calls/s, its capacity, for {_USUAL:g} s")
        self._usual = await self._crowd.does(Arrive(self._capacity, _USUAL))
        self._scene.say(f"{TIMES * self._capacity:,.0f} calls/s for {_FLOOD:g} s")
        self.fell_at = self._clock()
        self._flood = await self._crowd.does(Arrive(TIMES * self._capacity, _FLOOD))
        self.recovers_from = max(call.arrived for call in self._flood)

    def is_over(self) -> bool:
        """Once it has ended."""
        return bool(self._flood)

    def proof(self) -> Mapping[str, Any]:
        """How much was asked for, and what became of it."""
        refused = sum(call.error.startswith(_REFUSED) for call in self._flood)
        return {
            "saturated_calls_per_second": round(self._saturated),
            "capacity_calls_per_second": round(self._capacity),
            "offered_calls_per_second": round(self._offered),
            "offered": len(self._flood),
            "accepted": sum(call.ok for call in self._flood),
            "refused": refused,
            "ended_otherwise": measure.counted(
                call.error for call in self._flood if call.error and not call.error.startswith(_REFUSED)
            ),
            "usual_p95_ms": self._p95(self._usual),
            "accepted_p95_ms": self._p95(self._flood),
            "generator_late_p95_ms": self._late(self._flood),
            "done": [f"{TIMES} times the capacity in calls for {_FLOOD:g} s"],
        }

    def took_place(self) -> bool:
        """Whether as much was asked for as was meant, and some of it refused."""
        return self._offered > 0.9 * TIMES * self._capacity and any(not call.ok for call in self._flood)

    async def reckoning(self) -> Account:
        """What the crowd was promised, and whether it holds."""
        assert self._crowd is not None
        try:
            acknowledged, findings = await self._crowd.reckoning()
        except RuntimeError as error:
            return Account(obstacle=str(error))
        usual, accepted = self._p95(self._usual), self._p95(self._flood)
        ratios = {SLOWER: round(accepted / usual, 3)} if usual and accepted else {}
        return Account(acknowledged, findings, ratios)

    async def leave(self) -> None:
        """Sends the crowd home."""
        await self._stack.aclose()

    @property
    def _capacity(self) -> float:
        return _PLANNED * self._saturated

    @property
    def _offered(self) -> float:
        """Calls a second that did begin while they were to: a generator that falls behind asks for less."""
        ends = min((call.arrived for call in self._flood), default=0.0) + _FLOOD
        return sum((call.began or call.arrived) < ends for call in self._flood) / _FLOOD

    @staticmethod
    def _p95(calls: Sequence[Call]) -> float | None:
        """Of those that were accepted, in milliseconds from when each did begin; None if none was.

        The generator has no core of its own: what it is late by is told apart.
        """
        took = sorted((call.ended - (call.began or call.arrived)) * 1000 for call in calls if call.ok)
        return round(measure.percentile(took, 0.95), 3) if took else None

    @staticmethod
    def _late(calls: Sequence[Call]) -> float:
        late = sorted(((call.began or call.arrived) - call.arrived) * 1000 for call in calls)
        return round(measure.percentile(late, 0.95), 3)
