"""Children that nobody waits for."""

import os
import time

from ops.local import procfs
from ops.local.spawn import bury, dead_strangers


def dead_child() -> int:
    """A child that has ended and was not waited for."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
    deadline = time.monotonic() + 5
    while pid not in procfs.dead_children(os.getpid()):
        assert time.monotonic() < deadline
    return pid


def test_dead_orphans_are_buried_and_those_that_somebody_waits_for_are_left() -> None:
    stranger, known = dead_child(), dead_child()
    found = dead_strangers([known])
    assert stranger in found
    assert known not in found
    bury([stranger])
    bury([stranger])
    assert stranger not in procfs.dead_children(os.getpid())
    assert os.waitstatus_to_exitcode(os.waitpid(known, 0)[1]) == 3
