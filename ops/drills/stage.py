"""Runs drills: a platform of a form for several of them, each from a healthy start."""

import contextlib
import os
import sys
import traceback
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from ops.drills.course import Course
from ops.drills.drill import CannotRunError, Drill, Pace, chance_of
from ops.drills.record import Record, Verdict
from ops.drills.sabotage import NothingToDamageError, Sabotage
from ops.drills.scene import Scene
from ops.local.embedders import Embedder
from ops.local.home import Home
from ops.local.plan import Options as PlatformOptions
from ops.local.platform import Platform

_HEALTHY_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Options:
    """How drills are run."""

    seed: int
    """The first round's; each further round adds one."""
    times: int = 1
    zones: int | None = None
    """None: the smallest form that each drill lists."""
    sabotage: Sabotage | None = None
    running: bool = False
    """Whether to use the running platform of `home` in place of one of its own."""
    home: Path | None = None
    pace: Pace = field(default_factory=Pace)


async def run(drills: Sequence[Drill], options: Options) -> AsyncGenerator[Record, None]:
    """The records, as they come: every drill of a form once a round, on one platform while that is well.

    CannotRunError if a drill can't take place.
    """
    for zones, chosen in _by_form(drills, options.zones):
        turns = deque((number, drill) for number in range(options.times) for drill in chosen)
        while turns:
            async with _platform(options, zones) as platform:
                yield await _turn(turns.popleft(), platform, options)
                while turns and await _is_fit(platform, options):
                    yield await _turn(turns.popleft(), platform, options)


async def take_place(drill: Drill, platform: Platform, options: Options, seed: int) -> Record:
    """Runs one drill on a platform, once that is healthy. CannotRunError if it can't take place.

    One that fails by itself has not held: those after it still have something to tell.
    """
    scene = Scene(platform, chance_of(seed, drill.name), say)
    if options.zones not in {None, len(scene.zones)}:
        raise CannotRunError(f"the platform has {len(scene.zones)} zones, not {options.zones}")
    if len(scene.zones) not in drill.hypothesis.then:
        raise CannotRunError(f"{drill.name} is not for {len(scene.zones)} zones: see `reverie drill --list`")
    try:
        await platform.wait_healthy(_HEALTHY_WITHIN)
    except TimeoutError as error:
        raise CannotRunError(f"the platform is {error}") from error
    try:
        return await told(Course(drill, scene, options.pace, seed, options.sabotage))
    except NothingToDamageError as error:
        raise CannotRunError(f"nothing to sabotage: {error}") from error


async def told(course: Course) -> Record:
    """The record of a course, also where that came to no end. NothingToDamageError, CannotRunError."""
    try:
        return await course.run()
    except (NothingToDamageError, CannotRunError):
        raise
    except Exception as failure:  # noqa: BLE001  (whatever it is, it is no reason to lose the other drills)
        say(traceback.format_exc())
        zones = len(course.scene.zones)
        return Record(
            drill=course.drill.name,
            zones=zones,
            verdict=Verdict.FAIL,
            hypothesis=course.drill.hypothesis.sentence(zones),
            seed=course.seed,
            proof={},
            broken=(f"the drill itself failed: {failure!r}",),
        )


async def _turn(turn: tuple[int, Drill], platform: Platform, options: Options) -> Record:
    number, drill = turn
    say(f"{drill.name}, round {number + 1} of {options.times}")
    return await take_place(drill, platform, options, options.seed + number)


async def _is_fit(platform: Platform, options: Options) -> bool:
    """Whether the next drill may use it too: what one drill has ruined is not to spoil the others."""
    if options.running:
        return True
    try:
        await platform.wait_healthy(_HEALTHY_WITHIN)
    except TimeoutError as error:
        say(f"the platform is {error}: the next drill gets another")
        return False
    return True


def _by_form(drills: Sequence[Drill], zones: int | None) -> Iterator[tuple[int, list[Drill]]]:
    """The drills of each form that is needed, the smallest first."""
    forms: dict[int, list[Drill]] = {}
    for drill in drills:
        forms.setdefault(zones or min(drill.hypothesis.then), []).append(drill)
    return iter(sorted(forms.items()))


def say(line: str) -> None:
    """Tells the person who waits, on stderr: stdout is for records."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.asynccontextmanager
async def _platform(options: Options, zones: int) -> AsyncIterator[Platform]:
    if options.running:
        home = Home.locate(options.home, os.environ)
        home.endpoint()  # else what does not run at all would be waited for
        yield Platform(home)
        return
    say(f"starting a platform of {zones} zone{'s' if zones > 1 else ''}")
    # Embedding by the larger model would take a core from what is looked at here.
    form = PlatformOptions(embedder=Embedder.STATIC, **({"zones": zones} if zones > 1 else {}))
    async with Platform.temporary(form, report=say) as platform:
        yield platform
