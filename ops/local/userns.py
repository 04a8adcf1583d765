"""Starts a program that must not run as root, also when we are root, and lets it end with its parent.

`python userns.py --parent PID --signal N -- program argument ...` replaces itself by the program. Standard
library only and run by path, so that it starts in a few hundredths of a second with any import path.

PostgreSQL refuses user id 0. As root this enters a user namespace in which root is user 1000: the program
owns the same files as before and has no rights over anybody else's. Not as root it changes nothing.
"""

import argparse
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
INNER_ID = 1000
"""Who root is inside. Any number but 0 does."""


def launcher(program: Sequence[str], *, death_signal: int, parent: int | None = None) -> list[str]:
    """The command that starts `program` here, as a child of the process `parent` (default: this one).

    The program gets `death_signal` when the *thread* that started it ends, however it ends.
    """
    script = str(Path(__file__).resolve())
    options = ["--parent", str(os.getpid() if parent is None else parent), "--signal", str(death_signal)]
    return [sys.executable, "-I", "-S", script, *options, "--", *program]


def enter_user_namespace() -> None:
    """Makes this process user 1000 of a namespace of its own. OSError, saying what to do, if it may not."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(
            number,
            "PostgreSQL does not run as root, and this system refuses a user namespace "
            f"({os.strerror(number)}): run as another user, or allow user namespaces (sysctl "
            "user.max_user_namespaces, kernel.unprivileged_userns_clone; in a container its seccomp profile)",
        )
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")  # the kernel asks for it before gid_map
    Path("/proc/self/uid_map").write_text(f"{INNER_ID} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{INNER_ID} {gid} 1", encoding="ascii")


def end_with_parent(parent: int, signal: int) -> None:
    """Asks the kernel for `signal` when the parent ends; ends at once if it has ended already.

    A change of credentials clears the wish, so this comes after the namespace is entered.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(f"the parent {parent} is gone")


def main(arguments: Sequence[str]) -> None:
    """Becomes the program. Does not return."""
    parser = argparse.ArgumentParser(prog="userns")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(arguments)
    if os.geteuid() == 0:
        try:
            enter_user_namespace()
        except OSError as error:
            sys.exit(f"{error.strerror}")
    if sys.platform == "linux":
        end_with_parent(options.parent, options.signal)
    os.execv(options.program[0], options.program)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
