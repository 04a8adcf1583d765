"""What drills do to a platform, and how each shows that it has been done."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ops.drills.checker import Finding
from ops.drills.scene import Scene, state_of
from ops.local.record import ProcessRecord

STOPPED = "T (stopped)"


@dataclass(frozen=True, slots=True)
class Account:
    """What a fault that makes calls of its own has to say of them."""

    acknowledged: int = 0
    findings: Sequence[Finding] = ()
    ratios: Mapping[str, float] = field(default_factory=dict)
    obstacle: str = ""
    """Why nobody can tell; empty: all was read back."""


class Fault(ABC):
    """One thing that goes wrong."""

    victims: Sequence[str]
    """The processes that it befalls."""
    ends: bool = True
    """Whether victims may end by it. No other process may, in any drill."""
    fell_at: float | None = None
    """When it befell them, where something went before; None: as soon as it was asked to strike."""
    recovers_from: float | None = None
    """From when a recovery counts; None: from when it befell them."""

    @abstractmethod
    async def strike(self) -> None:
        """Does it."""

    async def mend(self) -> None:  # noqa: B027  (most faults are mended by the platform itself)
        """Undoes what does not end by itself."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether every victim lives again and is ready, as far as its supervisor knows."""

    @abstractmethod
    def proof(self) -> Mapping[str, Any]:
        """What shows that it took place. Once it is over."""

    @abstractmethod
    def took_place(self) -> bool:
        """Whether the proof shows it."""

    async def reckoning(self) -> Account:
        """What became of what the fault itself did for clients, once all is over."""
        return Account()

    async def leave(self) -> None:  # noqa: B027  (most faults hold nothing)
        """Lets go of what it holds, however the drill ended."""


MakeFault = Callable[[Scene], Fault]


class Killed(Fault):
    """Processes end by SIGKILL, all at once; their supervisor starts them again."""

    def __init__(self, scene: Scene, victims: Sequence[str]) -> None:
        self.victims = victims
        self._scene = scene
        self._before: dict[str, ProcessRecord] = {}

    async def strike(self) -> None:
        """Kills them."""
        self._before = self._scene.known()
        for name in self.victims:
            pid = self._scene.platform.kill(name)
            self._scene.say(f"killed {name}, process {pid}")

    def is_over(self) -> bool:
        """Whether each was started again, as another process, and is ready."""
        return bool(self._before) and all(
            self._restarted(name) and self._scene.is_ready(name) for name in self.victims
        )

    def proof(self) -> Mapping[str, Any]:
        """Each process before and after, and how the one before ended."""
        now = self._scene.known()
        if not self._before:
            return {"killed": []}
        return {
            "killed": [
                {
                    "process": name,
                    "pid": _pid(self._before[name]),
                    "end": now[name].reason,
                    "restarts": [self._before[name].restarts, now[name].restarts],
                    "pid_after": _pid(now[name]),
                }
                for name in self.victims
            ]
        }

    def took_place(self) -> bool:
        """Whether each ended by that signal and is another process now."""
        known = self._scene.known()
        return bool(self._before) and all(
            "SIGKILL" in known[name].reason and _pid(known[name]) != _pid(self._before[name])
            for name in self.victims
        )

    def _restarted(self, name: str) -> bool:
        now, before = self._scene.known()[name], self._before[name]
        return now.restarts > before.restarts and now.id != before.id


class Frozen(Fault):
    """Processes stop in their tracks: they keep what they hold, connections too, and answer nobody."""

    def __init__(self, scene: Scene, victims: Sequence[str]) -> None:
        self.victims = victims
        self._scene = scene
        self._pids: dict[str, int] = {}
        self._states: dict[str, str] = {}
        self._thawed = False

    async def strike(self) -> None:
        """Freezes them."""
        self._pids = self._scene.platform.processes()
        for name in self.victims:
            self._scene.platform.freeze(name)
            self._scene.say(f"froze {name}, process {self._pids[name]}")

    async def mend(self) -> None:
        """Lets them go on."""
        for name in self.victims:
            self._states[name] = state_of(self._pids[name])
            self._scene.platform.thaw(name)
            self._scene.say(f"thawed {name}")
        self._thawed = True

    def is_over(self) -> bool:
        """Whether they were let go on, or others have taken their place."""
        return self._thawed and all(self._scene.is_ready(name) for name in self.victims)

    def proof(self) -> Mapping[str, Any]:
        """What the kernel said of each until it was let go on."""
        now = self._scene.platform.processes()
        return {
            "frozen": [
                {
                    "process": name,
                    "pid": self._pids[name],
                    "state": self._states[name],
                    "pid_after": now.get(name),
                }
                for name in self.victims
            ]
        }

    def took_place(self) -> bool:
        """Whether each stood still to the end, or was ended for it."""
        now = self._scene.platform.processes()
        return all(
            self._states[name] == STOPPED or now.get(name) != self._pids[name] for name in self.victims
        )


class ZoneKilled(Fault):
    """Every process of a zone but the database ends by SIGKILL and stays down until the zone is healed."""

    def __init__(self, scene: Scene, zone: str) -> None:
        self._scene = scene
        self._zone = zone
        self._ended: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self.victims: Sequence[str] = sorted(scene.platform.zone(zone).processes())

    async def strike(self) -> None:
        """Kills it."""
        self._ended = self._scene.platform.zone(self._zone).kill()
        self._scene.say(f"killed zone {self._zone}: {len(self._ended)} processes")

    async def mend(self) -> None:
        """Starts its processes again."""
        self._left = self._scene.platform.zone(self._zone).processes()
        self._scene.say(f"healing zone {self._zone}")
        await self._scene.platform.zone(self._zone).heal()

    def is_over(self) -> bool:
        """Whether all of them are ready again."""
        return all(self._scene.is_ready(name) for name in self.victims)

    def proof(self) -> Mapping[str, Any]:
        """Who ended, and who still lived when the zone was healed."""
        return {"zone": self._zone, "killed": self._ended, "alive_before_healing": self._left}

    def took_place(self) -> bool:
        """Whether all of them ended and stayed down."""
        return len(self._ended) > 0 and not self._ended.keys() & self._left.keys()


class Restarted(Fault):
    """Every process is stopped as one should and started again, one unit after the other.

    A unit is a process, or a service with its proxy, which is restarted while the service is away.
    """

    ends = False

    def __init__(self, scene: Scene, units: Sequence[Sequence[str]], within: timedelta) -> None:
        self.victims = [name for unit in units for name in unit]
        self._scene = scene
        self._units = units
        self._within = within
        self._before: dict[str, int] = {}

    async def strike(self) -> None:
        """Restarts them; the next one's turn comes when all is healthy and no caller waits for the last.

        What piles up while a unit is away would else be carried on to the next, and grow.
        """
        platform = self._scene.platform
        self._before = platform.processes()
        for number, unit in enumerate(self._units, 1):
            self._scene.say(f"restarting {' and '.join(unit)} ({number} of {len(self._units)})")
            await self._restart(*unit)
            # Calm comes last, and costs nothing to look for: mostly one look at all the platform is enough.
            await platform.until(
                self._scene.is_calm, self._within, f"calls were not prompt again after {unit[0]}"
            )
            await platform.wait_healthy(self._within)

    async def _restart(self, first: str, *others: str) -> None:
        restarts = (self._scene.platform.restart(first, self._within), self._meanwhile(first, others))
        await asyncio.gather(*restarts)

    async def _meanwhile(self, first: str, others: Sequence[str]) -> None:
        """Restarts the others once the first has ended."""
        platform, pid = self._scene.platform, self._before[first]
        for name in others:
            await platform.until(
                lambda: platform.processes().get(first) != pid, self._within, f"{first} did not stop"
            )
            await platform.restart(name, self._within)

    def is_over(self) -> bool:
        """Whether all of them are ready."""
        return all(self._scene.is_ready(name) for name in self.victims)

    def proof(self) -> Mapping[str, Any]:
        """The number of each process before and after."""
        now = self._scene.platform.processes()
        return {"restarted": {name: [self._before[name], now.get(name)] for name in self.victims}}

    def took_place(self) -> bool:
        """Whether each is another process now."""
        now = self._scene.platform.processes()
        return all(name in now and now[name] != self._before[name] for name in self.victims)


def _pid(known: ProcessRecord) -> int | None:
    return known.id.pid if known.id else None
