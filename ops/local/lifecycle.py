"""When processes start, stop and start again. Everything that affects these decisions lives in this file.

Pure: `step(specs, state, event, now)` gives the next state and what to do. `now` is in seconds of a clock
that never steps back. The shell that applies it is `supervisor.py`.

    WAITING --gate open--> STARTING --Ready--> READY
                              |                  |
              Exited, or late v                  v Exited
              FAILED <--too often-- BACKOFF --due--> STARTING      (given up only until `Proven`)
    any that lives --no longer wanted, nothing left that needs it--> STOPPING --Exited--> STOPPED
    a one-shot: STARTING --Exited(0)--> DONE
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ops.local.process import ProcessSpec, before

Specs = Mapping[str, ProcessSpec]


class Phase(StrEnum):
    """Where a process is."""

    STOPPED = "stopped"
    WAITING = "waiting"
    """Wanted; something that it depends on is not ready yet."""
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    """A one-shot that ended well."""
    BACKOFF = "backoff"
    """Ended by itself; starts again soon."""
    FAILED = "failed"
    """Ended by itself too often during the start: given up until somebody asks for it."""
    STOPPING = "stopping"


ALIVE = frozenset({Phase.STARTING, Phase.READY, Phase.STOPPING})
"""The phases in which there is a process, or one is being made."""
OPEN = frozenset({Phase.READY, Phase.DONE})
"""The phases that let dependents start."""


@dataclass(frozen=True, slots=True)
class Member:
    """One process, as far as decisions need it."""

    phase: Phase = Phase.STOPPED
    wanted: bool = False
    passed: bool = False
    """Whether it was started before, so that its dependencies no longer hold it back."""
    due: float | None = None
    """STARTING: killed if not ready by then; BACKOFF: starts again; STOPPING: killed."""
    since: float = 0.0
    """When this phase began."""
    failures: int = 0
    """How often in a row it ended by itself."""
    restarts: int = 0
    """How often it was started again after it ended by itself."""
    verdict: str = ""
    """STARTING: why it was killed, if it was."""
    reason: str = ""
    """What went wrong last; stays until something else does."""


@dataclass(frozen=True, slots=True)
class State:
    """All processes."""

    members: Mapping[str, Member] = field(default_factory=dict)
    proven: bool = False
    """Whether all of it worked once: then what fails later is mended by trying, however long that takes."""

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def change(self, name: str, **fields: object) -> "State":
        """The same, with one member changed."""
        changed = replace(self.members[name], **fields)  # type: ignore[arg-type]  # checked by the tests
        return replace(self, members={**self.members, name: changed})

    def enter(self, name: str, phase: Phase, now: float, **fields: object) -> "State":
        """The same, with one member in another phase since now."""
        return self.change(name, phase=phase, since=now, **{"due": None, "verdict": "", **fields})

    @property
    def is_ready(self) -> bool:
        """Whether everything that is wanted is there."""
        return all(member.phase in OPEN for member in self.members.values() if member.wanted)

    @property
    def is_over(self) -> bool:
        """Whether nothing is wanted and nothing lives."""
        return not any(member.wanted or member.phase in ALIVE for member in self.members.values())

    @property
    def failed(self) -> tuple[str, ...]:
        """Those that were given up."""
        return tuple(name for name, member in self.members.items() if member.phase is Phase.FAILED)

    @property
    def next_due(self) -> float | None:
        """When a `Ticked` is needed at the latest."""
        return min((member.due for member in self.members.values() if member.due is not None), default=None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody wants these to run; also gives those that failed another chance."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Somebody wants these to stop. All that depend on them and are wanted stay as they are."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody kills these, in no order, and wants them to stay dead until they are wanted again."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restarted:
    """Somebody wants this one to stop and start again."""

    name: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The probe of a process said yes."""

    name: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """A process answered its probe with what waiting does not mend."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exited:
    """A process ended, or could not be made."""

    name: str
    well: bool
    """Whether it ended with 0."""
    reason: str


@dataclass(frozen=True, slots=True)
class Proven:
    """Calls went through all of it: from now on nothing is given up."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time went by."""


Event = Wanted | Unwanted | Held | Restarted | Ready | Unfit | Exited | Proven | Ticked


@dataclass(frozen=True, slots=True)
class Spawn:
    """Make the process, and probe it."""

    name: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send the process a signal."""

    name: str
    signal: signal.Signals


Action = Spawn | Send


def initial(specs: Specs) -> State:
    """Nothing runs, nothing is wanted."""
    return State(dict.fromkeys(specs, Member()))


def step(specs: Specs, state: State, event: Event, now: float) -> tuple[State, tuple[Action, ...]]:
    """What follows from an event: the next state, and what to do, in this order."""
    actions: list[Action] = []
    state = _take(specs, state, event, now, actions)
    state = _stop_unwanted(specs, state, now, actions)
    state = _act_on_dues(state, now, actions)
    state = _start_waiting(specs, state, now, actions)
    return state, tuple(actions)


def _take(specs: Specs, state: State, event: Event, now: float, actions: list[Action]) -> State:
    """What the event itself changes."""
    match event:
        case Wanted(names):
            return _want(state, names, now)
        case Unwanted(names):
            kept = {n: replace(m, wanted=m.wanted and n not in names) for n, m in state.members.items()}
            return replace(state, members=kept)
        case Held(names):
            return _hold(state, names, now, actions)
        case Proven():
            return replace(state, proven=True)
        case Restarted(name):
            return _restart(specs, state, name, now, actions)
        case Ready(name) if state[name].phase is Phase.STARTING:
            return state.enter(name, Phase.READY, now)
        case Unfit(name, reason) if state[name].phase is Phase.STARTING:
            return _kill(state, name, reason, actions)
        case Exited(name):
            return _bury(specs[name], state, event, now)
        case _:
            return state


def _want(state: State, names: tuple[str, ...], now: float) -> State:
    for name in names:
        state = state.change(name, wanted=True)
        if state[name].phase in {Phase.STOPPED, Phase.FAILED}:
            state = state.enter(name, Phase.WAITING, now, failures=0)
    return state


def _hold(state: State, names: tuple[str, ...], now: float, actions: list[Action]) -> State:
    for name in names:
        state = state.change(name, wanted=False)
        if state[name].phase in ALIVE:
            actions.append(Send(name, signal.SIGKILL))
            state = state.enter(name, Phase.STOPPING, now)
    return state


def _restart(specs: Specs, state: State, name: str, now: float, actions: list[Action]) -> State:
    state = _want(state, (name,), now)
    if state[name].phase in {Phase.STARTING, Phase.READY}:
        return _stop(specs[name], state, now, actions)
    return (
        state.enter(name, Phase.WAITING, now) if state[name].phase in {Phase.BACKOFF, Phase.DONE} else state
    )


def _bury(spec: ProcessSpec, state: State, event: Exited, now: float) -> State:
    """A process has ended: was that to be?"""
    member = state[spec.name]
    if member.phase is Phase.STOPPING:
        return state.enter(spec.name, Phase.WAITING if member.wanted else Phase.STOPPED, now)
    if spec.is_one_shot and event.well:
        return state.enter(spec.name, Phase.DONE, now)
    settled = member.phase is Phase.READY and now - member.since >= spec.restart.settled.total_seconds()
    failures = 1 if settled else member.failures + 1
    reason = member.verdict or event.reason
    if failures >= spec.restart.attempts and not state.proven:
        why = f"{reason} ({failures} times in a row)"
        return state.enter(spec.name, Phase.FAILED, now, failures=failures, reason=why)
    due = now + spec.restart.pause(failures).total_seconds()
    return state.enter(spec.name, Phase.BACKOFF, now, failures=failures, reason=reason, due=due)


def _stop_unwanted(specs: Specs, state: State, now: float, actions: list[Action]) -> State:
    """Stop what is not wanted and not needed by another one that is also on its way out."""
    for name, member in state.members.items():
        if member.wanted:
            continue
        if member.phase in {Phase.WAITING, Phase.BACKOFF, Phase.DONE}:
            state = state.enter(name, Phase.STOPPED, now)
        elif member.phase in {Phase.STARTING, Phase.READY} and not _is_needed(specs, state, name):
            state = _stop(specs[name], state, now, actions)
    return state


def _is_needed(specs: Specs, state: State, name: str) -> bool:
    """Whether one that must end first still lives. One that is to stay is not waited for."""
    return any(
        name in before(other) and state[other.name].phase in ALIVE and not state[other.name].wanted
        for other in specs.values()
    )


def _stop(spec: ProcessSpec, state: State, now: float, actions: list[Action]) -> State:
    actions.append(Send(spec.name, spec.stop_signal))
    return state.enter(spec.name, Phase.STOPPING, now, due=now + spec.grace.total_seconds())


def _act_on_dues(state: State, now: float, actions: list[Action]) -> State:
    for name, member in state.members.items():
        if member.due is None or member.due > now:
            continue
        if member.phase is Phase.BACKOFF:
            state = state.enter(name, Phase.WAITING, now, restarts=member.restarts + 1)
            continue
        late = f"not ready within {now - member.since:.0f} s" if member.phase is Phase.STARTING else ""
        state = _kill(state, name, late, actions)
    return state


def _kill(state: State, name: str, verdict: str, actions: list[Action]) -> State:
    """This can't be ignored, so nothing more is due."""
    actions.append(Send(name, signal.SIGKILL))
    return state.change(name, due=None, verdict=verdict)


def _start_waiting(specs: Specs, state: State, now: float, actions: list[Action]) -> State:
    for name, member in state.members.items():
        if member.phase is not Phase.WAITING:
            continue
        spec = specs[name]
        if member.passed or all(state[other].phase in OPEN for other in spec.depends_on):
            due = now + spec.start_within.total_seconds()
            state = state.enter(name, Phase.STARTING, now, passed=True, due=due)
            actions.append(Spawn(name))
    return state
