"""What ties a process's life to another's."""

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
NOT_OURS_ANY_MORE = 126
"""What a child exits with that finds its parent gone."""

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def bound_to(parent: int) -> Callable[[], None]:
    """What a child calls, before it does anything, to be killed when its parent ends.

    The *thread*, to be exact, that made it or that the kernel gave it to. It takes no lock, so it may be
    called between fork and exec.
    """

    def bind() -> None:
        failed = _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        # The parent may have ended before: then nobody sends the signal any more.
        if failed or os.getppid() != parent:
            os._exit(NOT_OURS_ANY_MORE)

    return bind


def adopt_orphans() -> None:
    """From now on what our children made, and left behind, is our child. OSError if the kernel won't."""
    if _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"can't adopt orphans: {os.strerror(number)}")
