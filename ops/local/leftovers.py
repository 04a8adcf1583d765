"""Ends what a supervisor left behind that was killed.

The kernel has ended most of it already: every process asks for that when it starts. This waits for the
rest, and kills what does not end. Only processes that a record names are touched, and their children.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TypeVar

from ops.local import procfs, record
from ops.local.home import Home, HomeError
from ops.local.procfs import ProcessId
from ops.local.spawn import MARK
from services.runtime.clock import MonotonicClock, monotonic

GRACE = timedelta(seconds=10)
"""How long they may take by themselves: PostgreSQL writes a checkpoint."""
_PAUSE = 0.05
_Thing = TypeVar("_Thing")


async def end(home: Home, grace: timedelta = GRACE, clock: MonotonicClock = monotonic) -> int:
    """End what is left of a home whose supervisor is dead; how many there were.

    HomeError, naming them, if some are there that can't be ended or that no record names.
    """
    found = record.load(home.state)
    left = _with_children(found.alive.values()) if found else set[ProcessId]()
    seconds = grace.total_seconds()
    rest = await dwindled(lambda: _alive(left), clock() + seconds, clock)
    for process in rest:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await dwindled(lambda: _alive(rest), clock() + seconds, clock)
    if strangers := await dwindled(lambda: remaining(home), clock() + seconds, clock):
        pids = " ".join(map(str, sorted(strangers)))
        raise HomeError(f"processes of {home.root} are still there; end them with: kill {pids}")
    return len(left)


def remaining(home: Home) -> set[int]:
    """The processes of a home that run, by the mark that they were started with, and their children."""
    return procfs.families(procfs.marked(f"{MARK}={home.root}"), procfs.parents())


def _with_children(processes: Collection[ProcessId]) -> set[ProcessId]:
    members = (
        procfs.identify(pid) for pid in procfs.families([one.pid for one in processes], procfs.parents())
    )
    return {one for one in members if one}


def _alive(processes: set[ProcessId]) -> set[ProcessId]:
    return {one for one in processes if one.is_alive()}


async def dwindled(look: Callable[[], set[_Thing]], deadline: float, clock: MonotonicClock) -> set[_Thing]:
    """What is still there at the deadline; returns as soon as nothing is."""
    while True:
        left = look()
        if not left or clock() >= deadline:
            return left
        await asyncio.sleep(_PAUSE)
