"""More calls than the platform can answer, by clients who do not wait for each other."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain
from statistics import geometric_mean
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
_WAVES = 6
"""Short ones, each with a capacity of its own: a machine with neighbours changes by more than is measured.

The mean of six differs half as much from run to run as the middle one of four: see decision 5.
"""
_MEASURED = 1.5
_SETTLING = 0.5
"""The first usual calls after so many are not yet so."""
_USUAL = 4.0
_FLOOD = 3.0
_REFUSED = "Overloaded"
_ENOUGH = 0.9
"""A flood is one from this share of what was meant on."""
_SEEDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Wave:
    """Calls at the capacity, and then a flood of them."""

    capacity: float
    """Calls a second."""
    usual: Sequence[Call]
    flood: Sequence[Call]

    @property
    def offered(self) -> int:
        """Calls of the flood that began while they were to: a generator that falls behind asks for less."""
        ends = min((call.arrived for call in self.flood), default=0.0) + _FLOOD
        return sum((call.began or call.arrived) < ends for call in self.flood)

    @property
    def slower(self) -> float | None:
        """How many times as long 95 % of the accepted calls took as of the usual ones; None: none was."""
        usual, accepted = _p95(self.usual), _p95(self.flood)
        return accepted / usual if usual and accepted else None

    @property
    def is_one(self) -> bool:
        """Whether what arrived was asked for in time, and some of it refused.

        How much arrives in one wave is chance: of 480 calls that were meant one wave in a hundred has 430.
        """
        return self.offered > _ENOUGH * len(self.flood) and any(not call.ok for call in self.flood)


def is_a_flood(waves: Sequence[Wave]) -> bool:
    """Whether each wave was one, and all of them together as large as they were meant to be."""
    meant = sum(TIMES * wave.capacity * _FLOOD for wave in waves)
    return all(wave.is_one for wave in waves) and sum(wave.offered for wave in waves) > _ENOUGH * meant


class Overload(Fault):
    """In turn finds the capacity, asks for what it can answer, and for three times of it."""

    def __init__(self, scene: Scene, clock: MonotonicClock = monotonic) -> None:
        self.victims = ()
        self._scene = scene
        self._clock = clock
        self._seed = scene.chance.randrange(_SEEDS)
        self._stack = AsyncExitStack()
        self._crowd: Crowd | None = None
        self._waves: list[Wave] = []

    async def strike(self) -> None:
        """All of it."""
        self._crowd = await self._stack.enter_async_context(
            crowd.gathered(self._scene.platform, _PROCESSES, _USERS, self._seed)
        )
        self._scene.say("finding out how many calls it answers")
        await self._crowd.does(Saturate(_CALLERS, _WARMING))
        while not self.is_over():
            self._waves.append(await self._wave(self._crowd))
        self.recovers_from = max(call.arrived for call in self._flood)

    async def _wave(self, callers: Crowd) -> Wave:
        saturated = await callers.does(Saturate(_CALLERS, _MEASURED))
        capacity = _PLANNED * sum(call.ok for call in saturated) / _MEASURED
        self._scene.say(
            f"{capacity:,.0f} calls/s, its capacity, for {_USUAL:g} s, then {TIMES * capacity:,.0f} "
            f"for {_FLOOD:g} s ({len(self._waves) + 1} of {_WAVES})"
        )
        await callers.does(Arrive(capacity, _SETTLING))
        usual = await callers.does(Arrive(capacity, _USUAL))
        self.fell_at = self.fell_at or self._clock()
        return Wave(capacity, usual, await callers.does(Arrive(TIMES * capacity, _FLOOD)))

    def is_over(self) -> bool:
        """Once the last wave has passed."""
        return len(self._waves) == _WAVES

    def proof(self) -> Mapping[str, Any]:
        """How much was asked for, and what became of it."""
        flood = self._flood
        refused = sum(call.error.startswith(_REFUSED) for call in flood)
        return {
            "capacity_calls_per_second": [round(wave.capacity) for wave in self._waves],
            "offered_calls_per_second": [round(wave.offered / _FLOOD) for wave in self._waves],
            "offered": len(flood),
            "accepted": sum(call.ok for call in flood),
            "refused": refused,
            "usual_refused": sum(not call.ok for wave in self._waves for call in wave.usual),
            "ended_otherwise": measure.counted(
                call.error for call in flood if call.error and not call.error.startswith(_REFUSED)
            ),
            "usual_p95_ms": [_p95(wave.usual) for wave in self._waves],
            "accepted_p95_ms": [_p95(wave.flood) for wave in self._waves],
            "generator_late_p95_ms": _late(flood),
            "done": [f"{TIMES} times the capacity in calls for {_FLOOD:g} s, {_WAVES} times"],
        }

    def took_place(self) -> bool:
        """Whether all of it was a flood."""
        return self.is_over() and is_a_flood(self._waves)

    async def reckoning(self) -> Account:
        """What the crowd was promised, and whether it holds."""
        assert self._crowd is not None
        try:
            acknowledged, findings = await self._crowd.reckoning()
        except RuntimeError as error:
            return Account(obstacle=str(error))
        # Each wave by itself: between two of them the machine may have become twice as fast.
        slower = [times for wave in self._waves if (times := wave.slower) is not None]
        ratios = {SLOWER: round(geometric_mean(slower), 3)} if len(slower) == _WAVES else {}
        return Account(acknowledged, findings, ratios)

    async def leave(self) -> None:
        """Sends the crowd home."""
        await self._stack.aclose()

    @property
    def _flood(self) -> Sequence[Call]:
        return [*chain.from_iterable(wave.flood for wave in self._waves)]


def _p95(calls: Sequence[Call]) -> float | None:
    """Of those that were accepted, in milliseconds from when each did begin; None if none was.

    The generator has no core of its own: what it is late by is told apart.
    """
    took = sorted((call.ended - (call.began or call.arrived)) * 1000 for call in calls if call.ok)
    return round(measure.percentile(took, 0.95), 3) if took else None


def _late(calls: Sequence[Call]) -> float:
    late = sorted(((call.began or call.arrived) - call.arrived) * 1000 for call in calls)
    return round(measure.percentile(late, 0.95), 3)
