"""Starts a supervisor as a process of its own, and waits until its platform is ready."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

from ops.local import logs, record
from ops.local.home import Home
from ops.local.operate import StartError
from ops.local.plan import Options
from ops.local.record import Record, Stage
from services.runtime.clock import MonotonicClock

SUPERVISOR = "supervisor"
"""The name of its log."""
START_WITHIN = timedelta(seconds=420)
"""Longer than the supervisor itself waits for anything: it knows better what is wrong."""
GRPC = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
"""For the environment of a supervisor before it loads gRPC: its children don't use it before they exec, and
gRPC complains of every fork that its threads did not pause for."""
_ERROR = "error: "
_PAUSE = 0.05


def silent(_line: str) -> None:
    """For those who don't want to know."""


async def launch(
    home: Home, options: Options, *, on_leash: bool, report: Callable[[str], None], clock: MonotonicClock
) -> "subprocess.Popen[bytes]":
    """The process of the supervisor, once everything is healthy.

    StartError if that does not come to be. Then, and also when interrupted, everything has stopped again.
    """
    home.create()
    home.refuse_if_locked()
    path = home.log_of(SUPERVISOR)
    logs.rotate(path)
    follower = logs.Follower((path,))
    process = _spawn(home, options, on_leash=on_leash)
    try:
        await _ready(home, process, follower, report, clock)
    except BaseException:
        process.terminate()
        await reap(process)
        raise
    return process


async def reap(process: "subprocess.Popen[bytes]") -> None:
    """Wait until a supervisor has ended, which takes a few seconds after it was told to."""
    await asyncio.to_thread(process.wait)
    if process.stdin:
        process.stdin.close()


def _spawn(home: Home, options: Options, *, on_leash: bool) -> "subprocess.Popen[bytes]":
    with home.log_of(SUPERVISOR).open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ops.local",
                "--home",
                str(home.root),
                *arguments(options, on_leash=on_leash),
            ],
            stdin=subprocess.PIPE if on_leash else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **GRPC},
            start_new_session=True,
        )


def arguments(options: Options, *, on_leash: bool) -> list[str]:
    """How `ops.local.__main__` is told these options."""
    found = ["--embedder", options.embedder, "--lanes", str(options.lanes)]
    if options.port is not None:
        found += ["--port", str(options.port)]
    if options.zones is not None:
        found += ["--zones", str(options.zones)]
    if options.operator_port is not None:
        found += ["--operator-port", str(options.operator_port)]
    return [*found, "--leash"] if on_leash else found


async def _ready(
    home: Home,
    process: "subprocess.Popen[bytes]",
    follower: logs.Follower,
    report: Callable[[str], None],
    clock: MonotonicClock,
) -> None:
    deadline = clock() + START_WITHIN.total_seconds()
    last = ""
    while True:
        # Looked at first: what it wrote before its end is then read in any case.
        is_over = process.poll() is not None
        found = _record_of(home, process.pid)
        for _, last in follower.read():
            if not last.startswith(_ERROR):
                report(last)
        if is_over:
            raise _explain(process.returncode, last, found)
        if found and found.stage is Stage.READY:
            return
        if clock() > deadline:
            raise StartError(f"it is not ready after {START_WITHIN.total_seconds():.0f} s", SUPERVISOR)
        await asyncio.sleep(_PAUSE)


def _explain(code: int, last: str, found: Record | None) -> StartError:
    """Why a supervisor ended: asked to, or by the last line it wrote, a message or the end of a traceback."""
    if code in {0, -signal.SIGTERM}:
        return StartError("it was stopped while it started")
    if last.startswith(_ERROR):
        return StartError(last.removeprefix(_ERROR), found.culprit if found else "")
    return StartError(f"its supervisor ended: {last}", SUPERVISOR)


def _record_of(home: Home, pid: int) -> Record | None:
    """What this supervisor has written; None if nothing yet."""
    found = record.load(home.state)
    return found if found and found.supervisor.pid == pid else None
