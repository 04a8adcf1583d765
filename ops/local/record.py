"""What a supervisor writes about itself, for those that look from outside or come after it.

It names each process by number *and* start time, so that whatever a dead supervisor left can be told from
a stranger that got its number.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ops.local.lifecycle import ALIVE, Phase
from ops.local.procfs import ProcessId
from services.runtime import files


class Stage(StrEnum):
    """Where the platform as a whole is."""

    STARTING = "starting"
    READY = "ready"
    """Everything was healthy once, and calls went through."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """It did not get ready, and has stopped again."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process as its supervisor knows it."""

    phase: Phase
    at: float
    """When the phase began, in seconds since the supervisor did."""
    restarts: int = 0
    reason: str = ""
    """What went wrong last."""
    id: ProcessId | None = None
    """None while there is none."""


@dataclass(frozen=True, slots=True)
class Record:
    """The whole."""

    supervisor: ProcessId
    stage: Stage = Stage.STARTING
    at: float = 0.0
    """When the stage began, in seconds since the supervisor did."""
    failure: str = ""
    """FAILED: why, and what to do."""
    culprit: str = ""
    """FAILED: the process whose log tells more; empty if it was none."""
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)

    @property
    def alive(self) -> dict[str, ProcessId]:
        """The processes that still run, by name."""
        return {name: one.id for name, one in self.processes.items() if one.id and one.id.is_alive()}


def changed(record: Record, **fields: Any) -> Record:
    """The same, with some fields changed."""
    return replace(record, **fields)


def dump(record: Record, path: Path) -> None:
    """Write it in one step."""
    files.replace(path, json.dumps(asdict(record), indent=1) + "\n")


def load(path: Path) -> Record | None:
    """Read it; None if there is none, or none that can be read."""
    try:
        return _parse(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _parse(value: Mapping[str, Any]) -> Record:
    parts = dict(value)
    parts["supervisor"] = ProcessId(**parts["supervisor"])
    parts["stage"] = Stage(parts["stage"])
    parts["processes"] = {name: _parse_process(one) for name, one in parts["processes"].items()}
    return Record(**parts)


def _parse_process(value: Mapping[str, Any]) -> ProcessRecord:
    identity = value["id"] and ProcessId(**value["id"])
    return ProcessRecord(**{**value, "phase": Phase(value["phase"]), "id": identity})


def progress(old: Record | None, new: Record) -> Iterator[str]:
    """Lines that tell a person what happened between two records."""
    before = old.processes if old else {}
    for name, one in new.processes.items():
        was = before[name].phase if name in before else Phase.STOPPED
        if was is one.phase or (one.phase is Phase.STOPPED and was not in ALIVE):
            continue
        if line := _LINES.get(one.phase):
            yield f"{one.at:6.1f} s  {line.format(name=name, reason=one.reason)}"


_LINES = {
    Phase.READY: "{name} is ready",
    Phase.DONE: "{name} is done",
    Phase.BACKOFF: "{name} {reason}; it is started again",
    Phase.FAILED: "{name} is given up: {reason}",
    Phase.STOPPED: "{name} has stopped",
}
