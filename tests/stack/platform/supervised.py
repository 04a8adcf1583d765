"""A home whose processes only pretend: how it is started, and what its supervisor knows."""

import subprocess
from collections.abc import Callable

from ops.local import record
from ops.local.home import Home
from ops.local.lifecycle import Phase
from ops.local.platform import Platform
from ops.local.record import ProcessRecord, Record, Stage
from tests.stack.platform.waiting import until

Start = Callable[..., "subprocess.Popen[str]"]


def last(home: Home) -> Record:
    found = record.load(home.state)
    assert found is not None
    return found


def known(home: Home, name: str) -> ProcessRecord:
    """A process as its supervisor knows it."""
    return last(home).processes[name]


async def is_ready(home: Home) -> None:
    await until(lambda: (found := record.load(home.state)) is not None and found.stage is Stage.READY)


async def came_back(home: Home, name: str, before: int) -> None:
    """Waits until a process runs that is not the one of before, and is ready."""
    platform = Platform(home)
    await until(lambda: platform.processes().get(name, before) != before)
    await until(lambda: known(home, name).phase is Phase.READY)
