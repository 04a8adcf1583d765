"""What the kernel says of processes.

A process is known by its number *and* the time it began, for numbers come again.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Of `/proc/PID/stat`, counted from the state, which comes after the name in parentheses.
_PARENT_FIELD = 1
_START_FIELD = 19


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, of one boot of the machine."""

    pid: int
    began: int
    """Clock ticks from boot to start."""
    boot: str
    """The kernel's id of this boot."""

    def is_alive(self) -> bool:
        """Whether it still runs. One that ended and was not waited for does not."""
        return identify(self.pid) == self

    def age_seconds(self) -> float:
        """How long ago it began."""
        uptime = float((PROC / "uptime").read_text().split()[0])
        return max(0.0, uptime - self.began / os.sysconf("SC_CLK_TCK"))


def identify(pid: int) -> ProcessId | None:
    """The process that has this number now; None if none runs."""
    fields = _stat(pid)
    if fields is None or fields[0] in {"Z", "X"}:
        return None
    return ProcessId(pid, int(fields[_START_FIELD]), boot_id())


def boot_id() -> str:
    """The kernel's id of this boot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def parents() -> dict[int, int]:
    """The parent of every process that there is."""
    return {number: int(fields[_PARENT_FIELD]) for number, fields in _stats()}


def dead_children(pid: int) -> tuple[int, ...]:
    """The children of a process that have ended, and were not waited for."""
    return tuple(
        number for number, fields in _stats() if fields[0] == "Z" and int(fields[_PARENT_FIELD]) == pid
    )


def families(pids: Collection[int], parents: Mapping[int, int]) -> set[int]:
    """These processes, their children, the children of those, and so on."""
    children: dict[int, list[int]] = {}
    for number, parent in parents.items():
        children.setdefault(parent, []).append(number)
    found: set[int] = set()
    open_ends = list(pids)
    while open_ends:
        pid = open_ends.pop()
        if pid not in found:
            found.add(pid)
            open_ends.extend(children.get(pid, ()))
    return found


def pss_kib(pid: int) -> int:
    """The memory of a process, with what it shares with others divided among them; 0 if it is gone."""
    try:
        rollup = (PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def marked(mark: str) -> tuple[int, ...]:
    """The processes of this user with `mark` (`NAME=value`) in the environment they were started with."""
    wanted = b"\0" + os.fsencode(mark) + b"\0"
    return tuple(number for number in _numbers() if wanted in _environment(number))


def _numbers() -> Iterator[int]:
    return (int(entry) for entry in os.listdir(PROC) if entry.isdigit())  # noqa: PTH208  (names suffice)


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Every process that there is, with its fields."""
    for number in _numbers():
        if (fields := _stat(number)) is not None:
            yield number, fields


def _environment(pid: int) -> bytes:
    try:
        return b"\0" + (PROC / str(pid) / "environ").read_bytes() + b"\0"
    except OSError:  # it ended, or is somebody else's
        return b""


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and parentheses; nothing after it does.
    return text.rpartition(")")[2].split()
