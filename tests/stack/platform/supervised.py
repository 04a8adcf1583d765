"""A home whose processes only pretend: how it is started, and what its supervisor knows."""

import subprocess
from collections.abc import Callable

from ops.local import record
from ops.local.home import Home
from ops.local.record import Record, Stage
from tests.stack.platform.waiting import until

Start = Callable[..., "subprocess.Popen[str]"]


def last(home: Home) -> Record:
    found = record.load(home.state)
    assert found is not None
    return found


async def is_ready(home: Home) -> None:
    await until(lambda: (found := record.load(home.state)) is not None and found.stage is Stage.READY)
