"""Where a drill takes place, seen from outside: which processes there are, and how each of them is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ops.local import record
from ops.local.lifecycle import Phase
from ops.local.plan import POSTGRES, proxy_of
from ops.local.platform import Platform
from ops.local.procfs import PROC
from ops.local.record import ProcessRecord
from services.catalog import SERVICES

EDGE = "edge"
MESH = "mesh"
VALKEY = "valkey"
DATABASE = POSTGRES
_STATE_FIELD = "State:"


@dataclass(frozen=True, slots=True)
class Scene:
    """A platform and what a drill needs to choose its victims."""

    platform: Platform
    chance: Random
    say: Callable[[str], None]
    """Tells the person who waits what is being done."""
    is_calm: Callable[[], bool] = lambda: True
    """Whether calls are answered as promptly as they come. Without a load they are."""

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that there are, by their edges."""
        return tuple(name.split("-")[1] for name in self.of(EDGE))

    def of(self, *kinds: str) -> list[str]:
        """The processes of these kinds (a service, edge, mesh, valkey), in the order of their names."""
        return sorted(
            name for name in self.known() if name.split("-")[0] in kinds and not name.endswith(".proxy")
        )

    def sidecars(self) -> list[str]:
        """The proxies beside services."""
        return [proxy_of(name) for name in self.of(*(row.name for row in SERVICES))]

    def units(self) -> list[tuple[str, ...]]:
        """Every process, a service together with its proxy; zone by zone, the database first."""
        known = self.known()
        alone = [name for name in self.platform.processes() if not name.endswith(".proxy")]
        units = [(name, proxy_of(name)) if proxy_of(name) in known else (name,) for name in alone]
        return sorted(units, key=lambda unit: (unit[0].split("-")[1:], unit[0]))

    def one_of(self, names: list[str]) -> str:
        """Any of these, by the seed."""
        return self.chance.choice(names)

    def known(self) -> dict[str, ProcessRecord]:
        """Every process as its supervisor knows it."""
        found = record.load(self.platform.home.state)
        return dict(found.processes) if found else {}

    def is_ready(self, name: str) -> bool:
        """Whether its supervisor has seen it ready."""
        return self.known()[name].phase is Phase.READY


def state_of(pid: int) -> str:
    """What the kernel says a process does, as `S (sleeping)`; empty if it is gone."""
    try:
        lines = Path(PROC / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    found = (line for line in lines if line.startswith(_STATE_FIELD))
    return next(found, _STATE_FIELD).removeprefix(_STATE_FIELD).strip()
