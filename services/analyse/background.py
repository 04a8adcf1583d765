"""How a worker keeps out of the way of calls that somebody waits for."""

import contextlib
import errno
import os
import time
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")
_TRIES, _PAUSE_SECONDS = 20, 0.15
"""The kernel takes one autogroup in a tenth of a second from all ordinary users of a machine."""


def step_back(niceness: int) -> None:
    """Puts this thread behind others; and the whole process, if it has a session of its own. 0: nothing.

    The thread gets the policy SCHED_IDLE: else who wakes up to answer a call waits for the end of its slice,
    up to 4 ms at each hop of the call. Outside of control groups Linux shares processor time among sessions
    first, and niceness counts only within one. May pause for three seconds in all, so not for a thread that
    serves. Where the kernel knows no such groups, or will not have it, policy and niceness are all there is.
    """
    if not niceness:
        return
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.nice(niceness)
    if os.getsid(0) != os.getpid():
        return
    for _ in range(_TRIES):
        try:
            _AUTOGROUP.write_text(str(niceness), "ascii")
        except OSError as error:
            if error.errno != errno.EAGAIN:
                return
            time.sleep(_PAUSE_SECONDS)
        else:
            return
