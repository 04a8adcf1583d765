"""The logs of a home: one file for each process, as it wrote them; shown so that a person can read them."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ops.local.home import Home, HomeError

LONGEST = 16 * 1024 * 1024
"""Bytes from which a log is put aside; one earlier log is kept."""
_HIDDEN = frozenset({"event", "level", "timestamp", "instance", "exception"})


def rotate(path: Path) -> None:
    """Put a long log aside. For logs that nobody writes to."""
    if path.exists() and path.stat().st_size > LONGEST:
        path.replace(path.with_suffix(".log.1"))


def trim(path: Path) -> None:
    """Put a long log aside while a process appends to it: what it writes in this moment may be lost."""
    if not path.exists() or path.stat().st_size <= LONGEST:
        return
    with path.open("rb+") as log, path.with_suffix(".log.1").open("wb") as aside:
        while part := log.read(1024 * 1024):
            aside.write(part)
        # The writer appends, so it goes on at the new end.
        log.truncate(0)


def names(home: Home) -> tuple[str, ...]:
    """The processes that have a log."""
    return tuple(sorted(path.stem for path in home.log.glob("*.log")))


def choose(home: Home, name: str | None) -> tuple[Path, ...]:
    """The logs of a process, of an instance with its proxy, or of all. HomeError if there is none."""
    known = names(home)
    chosen = [one for one in known if name is None or one == name or one == f"{name}.proxy"]
    if not chosen:
        there = ", ".join(known) or "none yet: nothing was started in this home"
        raise HomeError(f"no log of {name!r}; there are {there}" if name else f"no logs; there are {there}")
    return tuple(home.log_of(one) for one in chosen)


def ends(home: Home) -> dict[Path, int]:
    """How long each log is: where a start that comes now begins to write."""
    return {path: path.stat().st_size for path in home.log.glob("*.log")}


def tail(path: Path, lines: int, since: int = 0) -> list[str]:
    """The last lines of a log, of those after that byte; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(errors="replace") as file:
        # Shorter than before: it was put aside.
        file.seek(since if path.stat().st_size >= since else 0)
        return [line.rstrip("\n") for line in deque(file, maxlen=lines)]


class Follower:
    """Reads what is appended to logs from now on."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._places = {path: path.stat().st_size if path.exists() else 0 for path in paths}
        self._rests = dict.fromkeys(self._places, b"")

    def add(self, paths: Iterable[Path]) -> None:
        """Follow further logs, from their beginning; those that are followed already stay as they are."""
        for path in paths:
            self._places.setdefault(path, 0)
            self._rests.setdefault(path, b"")

    def read(self) -> Iterator[tuple[str, str]]:
        """Whole lines that came since the last call, each with the name of its process."""
        for path, place in list(self._places.items()):
            if not path.exists():
                continue
            with path.open("rb") as file:
                # Shorter than before: it was put aside.
                file.seek(place if file.seek(0, os.SEEK_END) >= place else 0)
                *whole, rest = (self._rests[path] + file.read()).split(b"\n")
                self._places[path], self._rests[path] = file.tell(), rest
            for line in whole:
                yield path.stem, line.decode(errors="replace")


def pretty(line: str) -> str:
    """A line for people: our services write JSON, the others what they like."""
    entry = _entry(line)
    if not entry:
        return line
    time = str(entry.get("timestamp", ""))[11:23]
    rest = " ".join(f"{key}={_value(value)}" for key, value in entry.items() if key not in _HIDDEN)
    parts = (time, f"{entry.get('level', ''):7}", str(entry["event"]), rest)
    trace = f"\n{_value(entry['exception'])}" if "exception" in entry else ""
    return " ".join(part for part in parts if part) + trace


def fault_in(line: str) -> str:
    """What one of our processes says in a line that it takes for a fault of its own; else nothing."""
    entry = _entry(line)
    if entry.get("level") != "error":
        return ""
    raised: dict[str, Any] = next(iter(entry.get("exception", ())), {})
    told = (entry["event"], raised.get("exc_type"), raised.get("exc_value"))
    return ": ".join(str(part) for part in told if part)


def _entry(line: str) -> dict[str, Any]:
    """What a line of our services says; empty for others' lines."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and "event" in entry else {}


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
