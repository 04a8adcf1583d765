"""What a machine needs, as data: each check says what it looks at and what to do if it is not so.

    for check in CHECKS:
        result = check.run(context)

Nothing is changed by looking. The command prints the results; it does not decide.
"""

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from mesh.bootstrap import command
from ops.local import operate, plan, userns
from ops.local.home import Home, fits
from ops.local.plan import Options
from ops.local.ports import Reservation
from ops.local.postgres import bin_directory
from ops.local.valkey import ValkeyMissingError, find_server

MEMORY_MIB = 1536
"""For one zone."""
MEMORY_MIB_A_FURTHER_ZONE = 768
DISK_MIB = 1024
OPEN_FILES = 4096
_MIB = 1024 * 1024


class Severity(StrEnum):
    """What it means when a check fails."""

    FATAL = "fatal"
    """The platform does not start."""
    WARNING = "warning"
    """It starts, and something will be worse than it could be."""


@dataclass(frozen=True, slots=True)
class Context:
    """What checks look at."""

    home: Home
    options: Options


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that should be so."""

    id: str
    description: str
    severity: Severity
    hint: str
    """What to do if it is not so."""
    look: Callable[[Context], str]
    """What is wrong; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found."""

    check: Check
    found: str
    """What is wrong; empty if nothing is."""

    @property
    def is_fatal(self) -> bool:
        """Whether the platform can't start."""
        return bool(self.found) and self.check.severity is Severity.FATAL

    def as_json(self) -> dict[str, str | bool]:
        """The value that `reverie doctor -o json` prints."""
        return {
            "id": self.check.id,
            "description": self.check.description,
            "severity": self.check.severity.value,
            "ok": not self.found,
            "found": self.found,
            "hint": self.check.hint if self.found else "",
        }


def examine(context: Context) -> tuple[Result, ...]:
    """The results of all checks, in order. Takes a second: programs are started to see that they run."""
    return tuple(Result(check, check.look(context)) for check in CHECKS)


def _system(_: Context) -> str:
    if sys.platform != "linux":
        return f"this is {sys.platform}"
    return "" if hasattr(os, "pidfd_open") else f"the kernel is {platform.release()}"


def _python(_: Context) -> str:
    return "" if sys.version_info >= (3, 11) else f"this is {platform.python_version()}"


def _runs(*argv: str) -> str:
    """What is wrong with a program that is asked for its version."""
    try:
        done = subprocess.run([*argv], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip()[:200]


def _postgres(_: Context) -> str:
    try:
        return _runs(str(bin_directory() / "postgres"), "--version")
    except FileNotFoundError as error:
        return str(error)


def _valkey(_: Context) -> str:
    try:
        return _runs(str(find_server(os.environ)), "--version")
    except ValkeyMissingError as error:
        return str(error)


def _envoy(_: Context) -> str:
    return _runs(command(Path("unused"))[0], "--version")


def _namespaces(_: Context) -> str:
    if os.geteuid() != 0:
        return ""
    # In a process of its own: a namespace can't be left again.
    return _runs(*userns.launcher([sys.executable, "-c", ""], death_signal=9))


def _home(context: Context) -> str:
    root = context.home.root
    place = root
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} can't be written to"
    if place != root:
        return ""
    status = root.stat()
    if status.st_uid != os.geteuid():
        return f"{root} belongs to user {status.st_uid}"
    is_foreign = not (root / "home.json").exists() and any(root.iterdir())
    return f"{root} holds something else" if is_foreign else ""


def _private(context: Context) -> str:
    root = context.home.root
    if not root.exists() or root.stat().st_mode & 0o077 == 0:
        return ""
    return f"{root} has mode {root.stat().st_mode & 0o777:o}"


def _sockets(context: Context) -> str:
    run = context.home.root / "run"
    return "" if run.is_symlink() or fits(run) else f"{run} has {len(os.fsencode(run))} bytes"


def _ports(context: Context) -> str:
    if context.home.is_locked():
        return ""
    reservation = Reservation()
    try:
        wishes = plan.wishes(context.options, operate.kept_ports(context.home))
        taken = [wish for wish in wishes if wish.port and not reservation.take(wish.port)]
    finally:
        reservation.close()
    return ", ".join(f"port {wish.port} is taken ({wish.option})" for wish in taken)


def _memory(context: Context) -> str:
    if context.home.is_locked():
        return ""
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // 1024
    zones = len(plan.zones_of(context.options, operate.kept_ports(context.home)))
    needed = MEMORY_MIB + (zones - 1) * MEMORY_MIB_A_FURTHER_ZONE
    return "" if available >= needed else f"{available} MiB are available, {needed} MiB should be"


def _disk(context: Context) -> str:
    place = context.home.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // _MIB
    return "" if free >= DISK_MIB else f"{free} MiB are free at {place}"


def _files(_: Context) -> str:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return "" if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES else f"the limit is {soft}"


def _clock(_: Context) -> str:
    now = datetime.now(UTC)
    # The files of this installation were written before now.
    written = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    return (
        ""
        if now >= written
        else f"it is {now:%Y-%m-%d %H:%M} here, but this program is of {written:%Y-%m-%d %H:%M}"
    )


_F, _W = Severity.FATAL, Severity.WARNING
CHECKS: tuple[Check, ...] = (
    Check(
        "system", "Linux 5.3 or newer, which ends orphans", _F, "run it on Linux, or in a container", _system
    ),
    Check("python", "Python 3.11 or newer", _F, "make .venv anew with a newer Python", _python),
    Check(
        "postgres", "PostgreSQL is installed and runs", _F, "`make setup`, or set REVERIE_PG_BIN", _postgres
    ),
    Check("valkey", "Valkey is installed and runs", _F, "`make setup`, or set REVERIE_VALKEY_BIN", _valkey),
    Check("envoy", "Envoy is installed and runs", _F, "`make setup`", _envoy),
    Check(
        "namespaces",
        "as root: user namespaces are allowed, since PostgreSQL refuses root",
        _F,
        "run as another user, or allow them: sysctl user.max_user_namespaces, a container's seccomp profile",
        _namespaces,
    ),
    Check("home", "the home can be written to, and is ours", _F, "name another one: --home DIRECTORY", _home),
    Check(
        "private", "nobody else can look into the home", _W, "`reverie up` sets its mode to 0700", _private
    ),
    Check(
        "sockets",
        "the home's path leaves room for sockets",
        _W,
        "nothing to do: sockets go to a short directory below TMPDIR",
        _sockets,
    ),
    Check("ports", "the ports of the edge are free", _F, "other ports: --port 0 --operator-port 0", _ports),
    Check("memory", "there is memory for all zones", _W, "end something else", _memory),
    Check("disk", f"{DISK_MIB} MiB of disk are free", _F, "make room, or name another --home", _disk),
    Check("files", f"{OPEN_FILES} files may be open", _W, f"`ulimit -n {OPEN_FILES}`", _files),
    Check("clock", "the clock is not behind", _F, "set the clock: ids and tokens carry the time", _clock),
)
