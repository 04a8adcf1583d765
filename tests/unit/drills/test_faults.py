"""Faults on a platform that does what the test says: no proof without the deed."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from ops.drills import crowd
from ops.drills.crowd import Arrive, Saturate
from ops.drills.faults import Frozen, Killed, Restarted
from ops.drills.measure import Call
from ops.drills.overload import SLOWER, Overload
from ops.drills.scene import Scene
from ops.local.lifecycle import Phase
from ops.local.procfs import ProcessId
from ops.local.record import ProcessRecord

NAME = "storage-b-0"


def living(pid: int, restarts: int = 0, reason: str = "", phase: Phase = Phase.READY) -> ProcessRecord:
    return ProcessRecord(phase, 1.0, restarts, reason, ProcessId(pid, 7, "boot"))


@dataclass
class Platform:
    """One process."""

    now: ProcessRecord = field(default_factory=lambda: living(10))
    did: list[str] = field(default_factory=list)

    def processes(self) -> dict[str, int]:
        return {NAME: self.now.id.pid} if self.now.id else {}

    def kill(self, name: str) -> int:
        self.did.append(f"kill {name}")
        assert self.now.id
        return self.now.id.pid

    def freeze(self, name: str) -> None:
        self.did.append(f"freeze {name}")

    def thaw(self, name: str) -> None:
        self.did.append(f"thaw {name}")


class Restarting(Platform):
    """One that is healthy as soon as it is asked."""

    async def restart(self, name: str, _within: timedelta) -> None:
        self.did.append(f"restart {name}")

    async def wait_healthy(self, _within: timedelta) -> None:
        self.did.append("healthy")

    async def until(self, condition: Callable[[], bool], _within: timedelta, _otherwise: str) -> None:
        while not condition():
            pass


class View(Scene):
    """What the platform of the test says of its processes."""

    def known(self) -> dict[str, ProcessRecord]:
        return {NAME: self.platform.now}  # type: ignore[attr-defined]


def scene_of(platform: Platform) -> Scene:
    return View(platform, Random(1), lambda _line: None)  # type: ignore[arg-type]


async def test_a_kill_is_shown_by_the_signal_that_ended_the_process_and_by_another_one_in_its_place() -> None:
    platform = Platform()
    killed = Killed(scene_of(platform), [NAME])
    await killed.strike()
    assert platform.did == [f"kill {NAME}"]
    assert not killed.is_over()
    platform.now = living(11, restarts=1, reason="killed by SIGKILL", phase=Phase.STARTING)
    assert not killed.is_over()
    platform.now = replace(platform.now, phase=Phase.READY)
    assert killed.is_over()
    assert killed.took_place()
    assert killed.proof() == {
        "killed": [
            {
                "process": NAME,
                "pid": 10,
                "end": "killed by SIGKILL",
                "restarts": [0, 1],
                "pid_after": 11,
            }
        ]
    }


@pytest.mark.parametrize(
    "after",
    [
        living(10),
        living(11, restarts=1, reason="ended with exit code 0"),
        living(10, reason="killed by SIGKILL"),
    ],
)
async def test_a_process_that_was_not_killed_is_no_proof(after: ProcessRecord) -> None:
    platform = Platform()
    killed = Killed(scene_of(platform), [NAME])
    await killed.strike()
    platform.now = after
    assert not killed.took_place()


def test_a_kill_that_was_never_tried_is_neither_over_nor_shown() -> None:
    killed = Killed(scene_of(Platform()), [NAME])
    assert not killed.is_over()
    assert not killed.took_place()
    assert killed.proof() == {"killed": []}


@pytest.mark.parametrize(("state", "shown"), [("T (stopped)", True), ("S (sleeping)", False)])
async def test_a_freeze_is_shown_by_what_the_kernel_said_to_its_end(
    monkeypatch: pytest.MonkeyPatch, state: str, *, shown: bool
) -> None:
    monkeypatch.setattr("ops.drills.faults.state_of", lambda _pid: state)
    frozen = Frozen(scene_of(platform := Platform()), [NAME])
    await frozen.strike()
    assert not frozen.is_over()
    await frozen.mend()
    assert platform.did == [f"freeze {NAME}", f"thaw {NAME}"]
    assert frozen.is_over()
    assert frozen.took_place() is shown


def test_a_restart_that_left_the_process_as_it_was_is_no_proof() -> None:
    restarted = Restarted(scene_of(Platform()), [(NAME,)], within=None)  # type: ignore[arg-type]
    restarted._before = {NAME: 10}
    assert not restarted.took_place()


async def test_a_restart_waits_until_calls_are_prompt_before_the_next_ones_turn() -> None:
    platform = Restarting()

    def is_calm() -> bool:
        """At every second look."""
        platform.did.append("look")
        return platform.did.count("look") % 2 == 0

    scene = replace(scene_of(platform), is_calm=is_calm)
    await Restarted(scene, [(NAME,), (NAME,)], within=timedelta(seconds=1)).strike()
    assert platform.did == [f"restart {NAME}", "look", "look", "healthy"] * 2


class Audience:
    """A crowd whose calls take a tenth of a second, of which it gets so many answered."""

    def __init__(self, answered: float, slower: float, late: float = 0.0) -> None:
        self.answered = answered
        self.slower = slower
        self.late = late
        """Seconds by which each call begins later than the one before it."""
        self.phases: list[Saturate | Arrive] = []

    async def does(self, phase: Saturate | Arrive) -> Sequence[Call]:
        self.phases.append(phase)
        if isinstance(phase, Saturate):
            return [Call("read", False, 0, 0.1) for _ in range(int(self.answered * phase.seconds))]
        ok = min(1.0, 0.7 * self.answered / phase.rate)
        took = 0.1 if ok == 1.0 else 0.1 * self.slower
        every = range(round(phase.rate * phase.seconds))
        return [
            Call(
                *("read", False, 0, took + turn * self.late),
                error="" if turn < ok * len(every) else "Overloaded OVERLOADED",
                began=turn * self.late,
            )
            for turn in every
        ]

    async def reckoning(self) -> tuple[int, list[Any]]:
        return 5, []


@pytest.mark.parametrize("slower", [1.5, 3.0])
async def test_an_overload_compares_what_was_accepted_with_what_is_usual_at_the_capacity(
    monkeypatch: pytest.MonkeyPatch, slower: float
) -> None:
    audience = Audience(answered=100, slower=slower)

    @asynccontextmanager
    async def gathered(*_how: Any) -> AsyncIterator[Audience]:
        yield audience

    monkeypatch.setattr(crowd, "gathered", gathered)
    fault = Overload(scene_of(Platform()))
    await fault.strike()
    warming, *phases = audience.phases
    rates = [round(phase.rate) if isinstance(phase, Arrive) else None for phase in phases]
    assert isinstance(warming, Saturate)
    # What comes right after so many is not yet usual, and not counted.
    assert rates == [None, 70, 70, 210] * 6
    assert fault.took_place()
    assert fault.proof()["refused"] > 0
    assert (await fault.reckoning()).ratios == {SLOWER: pytest.approx(slower)}


@pytest.mark.parametrize(("late", "shown"), [(0.004, True), (0.006, False)])
async def test_an_overload_by_a_generator_that_falls_behind_is_none(
    monkeypatch: pytest.MonkeyPatch, late: float, *, shown: bool
) -> None:
    @asynccontextmanager
    async def gathered(*_how: Any) -> AsyncIterator[Audience]:
        yield Audience(answered=100, slower=1.0, late=late)

    monkeypatch.setattr(crowd, "gathered", gathered)
    fault = Overload(scene_of(Platform()))
    await fault.strike()
    assert fault.took_place() is shown
