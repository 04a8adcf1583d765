"""The table of drills: each is a file of `hypotheses`, in the order in which `drill all` runs them."""

from collections.abc import Iterator
from importlib import import_module
from typing import cast

from ops.drills.drill import Drill

NAMES = (
    "kill-service",
    "kill-worker",
    "kill-sidecar",
    "kill-edge",
    "kill-control-plane",
    "kill-valkey",
    "kill-postgres",
    "freeze-service",
    "kill-zone",
    "restart-everything",
    "overload",
    "import-interrupted",
)


def drill(name: str) -> Drill:
    """The drill of that name. KeyError, naming those there are, if there is none."""
    if name not in NAMES:
        raise KeyError(f"no drill {name!r}; there are {', '.join(NAMES)}")
    return cast("Drill", import_module(f"ops.drills.hypotheses.{name.replace('-', '_')}").DRILL)


def drills() -> Iterator[Drill]:
    """All of them."""
    return map(drill, NAMES)
