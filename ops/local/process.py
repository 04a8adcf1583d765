"""What a process is, before it is one: how it starts, when it is ready, how it stops, what if it dies."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

Probe = Callable[[], Awaitable[bool]]
"""Says whether a process is ready. False, or OSError: not yet. Any other error is the process's fault."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """What happens after a process ended by itself: it starts again, later each time."""

    attempts: int = 6
    """How many failures in a row are too many while the platform starts; afterwards none are."""
    settled: timedelta = timedelta(seconds=5)
    """After being ready for so long, an end is the first failure of a new row."""
    first: timedelta = timedelta(milliseconds=50)
    """The pause after the first failure; each further one doubles it."""
    longest: timedelta = timedelta(seconds=5)

    def pause(self, failures: int) -> timedelta:
        """How long to wait after that many failures in a row, counted from 1."""
        return min(self.first * (1 << min(failures - 1, 16)), self.longest)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process of the platform."""

    name: str
    argv: tuple[str, ...]
    module: str = ""
    """Of ours, if that is what `argv` runs: then the fork server may make it, which has it loaded already.

    What of `env` has its effect while a process is loaded must then be the fork server's too.
    """
    env: Mapping[str, str] = field(default_factory=dict)
    """Beside what every process gets: PATH, HOME, TMPDIR and the import path."""
    depends_on: tuple[str, ...] = ()
    """What must be ready before its first start. Later starts don't wait: services bear what is missing."""
    outlived_by: tuple[str, ...] = ()
    """What is stopped only after it has ended, beside what it depends on."""
    prepare: Callable[[], None] | None = None
    """Runs before each start, in a thread. What it raises counts as a failure of the process."""
    probe: Probe | None = None
    """None: ready once it has ended with 0 (a one-shot)."""
    start_within: timedelta = timedelta(seconds=30)
    """Killed and counted as failed if it is not ready by then."""
    drain: Callable[[], Awaitable[None]] | None = None
    """Awaited before `stop_signal` is sent, for half of `grace` at most; what it raises is no hindrance."""
    stop_signal: signal.Signals = signal.SIGTERM
    grace: timedelta = timedelta(seconds=10)
    """How long it may take to drain and to end after `stop_signal`; then it is killed."""
    restart: RestartPolicy = RestartPolicy()
    directory: Path | None = None
    """Where it runs; None: where the supervisor does."""

    @property
    def is_one_shot(self) -> bool:
        """Whether it is meant to end."""
        return self.probe is None


def zone_of(process: str) -> str:
    """The zone of a process, by its name; empty for what is in none: database, migration, fork server."""
    parts = process.split("-")
    return parts[1] if len(parts) > 1 else ""


class PlanError(Exception):
    """Raised when a list of processes can't be run: a name twice, unknown, or waiting for itself."""


def ordered(specs: tuple[ProcessSpec, ...]) -> tuple[ProcessSpec, ...]:
    """The same processes, each after those that it depends on or that outlive it. PlanError if none is."""
    names = [spec.name for spec in specs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PlanError(f"more than one process is called {', '.join(sorted(twice))}")
    done: dict[str, ProcessSpec] = {}
    rest = list(specs)
    while rest:
        free = [spec for spec in rest if all(name in done for name in before(spec))]
        if not free:
            raise PlanError(
                f"these wait for each other, or for unknown ones: {', '.join(s.name for s in rest)}"
            )
        done.update((spec.name, spec) for spec in free)
        rest = [spec for spec in rest if spec.name not in done]
    return tuple(done.values())


def before(spec: ProcessSpec) -> tuple[str, ...]:
    """What is stopped only after this process has ended."""
    return (*spec.depends_on, *spec.outlived_by)
