"""What is read from files that change while the process runs: keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from services.runtime.clock import MonotonicClock, monotonic

Value = TypeVar("Value")

LOOK_SECONDS = 1.0
"""How often a file is looked at, unless it must be now."""

_log = structlog.get_logger("watched")


class Watched(Generic[Value]):
    """What `read` makes of a file, or of the files of a directory; read again when they have changed.

    Raises what `read` raises at first; later what was read last stays until the files can be read again.
    """

    def __init__(self, path: Path, read: Callable[[Path], Value], clock: MonotonicClock = monotonic) -> None:
        self._path = path
        self._read = read
        self._clock = clock
        self._looked = clock()
        self._version = _version(path)
        self._value = read(path)

    def value(self, *, now: bool = False) -> Value:
        """The same object as long as nothing has changed. `now`: looks even if it just has."""
        at = self._clock()
        if now or at - self._looked >= LOOK_SECONDS:
            self._looked = at
            self._look()
        return self._value

    def _look(self) -> None:
        try:
            version = _version(self._path)
            if version != self._version:
                self._value = self._read(self._path)
                self._version = version
        except Exception as failure:  # noqa: BLE001  (whatever it is, what was read last still holds)
            _log.warning(
                "cannot be read again; what was read last stays", path=str(self._path), exc_info=failure
            )


def _version(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What tells that files have not changed. OSError if there are none."""
    stats = ((file.name, file.stat()) for file in (sorted(path.iterdir()) if path.is_dir() else (path,)))
    return tuple((name, stat.st_mtime_ns, stat.st_ino, stat.st_size) for name, stat in stats)
