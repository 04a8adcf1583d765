"""The directory that holds everything of one platform, and who may use it.

    home = Home.locate(None, os.environ)
    home.create()
    with home.lock():            # one supervisor at a time
        ...
    home.endpoint().public       # what clients read

Homes are independent: several may run side by side.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from services.runtime import files

SOCKET_BYTES = 107
"""What a Unix socket's path may have on Linux (`sun_path` less its final zero)."""
ROOM_FOR_SOCKETS = 36
"""Bytes kept for what comes below the run directory: the longest is like `/analyse-a-0/egress.sock`."""
VARIABLE = "REVERIE_HOME"
_FORMAT = 1
_LOCK = struct.Struct("hhqqi4x")
"""The kernel's `struct flock`: kind, whence, start, length, process."""
_WRITE_LOCK = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_PARTS = ("log", "data", "secrets", "pki", "cache")


class HomeError(Exception):
    """Raised when a home can't be used; says why, and what to do."""


class NotRunningError(HomeError):
    """Raised when what was asked needs a running platform."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a platform takes calls. What is needed to reach it, without secrets."""

    public: tuple[str, ...]
    """`host:port` of each edge for applications."""
    operator: tuple[str, ...]
    """`host:port` of each edge for operators; serves the public APIs too."""
    ca: Path
    """PEM of the authority by which clients check the edges."""
    tenant: UUID
    """The tenant of development tokens."""

    def as_json(self) -> dict[str, Any]:
        """The value of `endpoint.json`."""
        return {
            "public": list(self.public),
            "operator": list(self.operator),
            "ca": str(self.ca),
            "tenant": str(self.tenant),
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Endpoint":
        """The inverse of `as_json`."""
        return cls(tuple(value["public"]), tuple(value["operator"]), Path(value["ca"]), UUID(value["tenant"]))


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one directory. Nothing is touched before `create`."""

    root: Path

    @classmethod
    def locate(cls, given: Path | None, environ: Mapping[str, str]) -> "Home":
        """The home that was named, or that of $REVERIE_HOME, or `~/.reverie`; it may not exist yet."""
        named = given or Path(environ.get(VARIABLE) or "~/.reverie")
        return cls(Path(os.path.abspath(named.expanduser())))  # noqa: PTH100  (symlinks stay as typed)

    @property
    def log(self) -> Path:
        """One `{process}.log` for each process, and `supervisor.log`."""
        return self.root / "log"

    @property
    def data(self) -> Path:
        """What the stores keep."""
        return self.root / "data"

    @property
    def secrets(self) -> Path:
        """Passwords and signing keys."""
        return self.root / "secrets"

    @property
    def pki(self) -> Path:
        """The development authority and its certificates."""
        return self.root / "pki"

    @property
    def cache(self) -> Path:
        """What services may put aside; can be removed while nothing runs."""
        return self.root / "cache"

    @property
    def run(self) -> Path:
        """Sockets and all else that is of one run. Short enough for every socket below it."""
        link = self.root / "run"
        # Read from the link and not computed again: TMPDIR may differ from one command to the next.
        return Path(os.readlink(link)) if link.is_symlink() else link  # noqa: PTH115

    @property
    def state(self) -> Path:
        """What the supervisor last wrote of its processes: `record.py`."""
        return self.root / "state.json"

    @property
    def ports(self) -> Path:
        """The ports of the last start, by who listens."""
        return self.root / "ports.json"

    @property
    def topology(self) -> Path:
        """What the control plane reads."""
        return self.run / "topology.json"

    @property
    def control(self) -> Path:
        """The supervisor's socket."""
        return self.run / "supervisor.sock"

    def instance(self, name: str) -> Path:
        """The directory of one instance's sockets."""
        return self.run / name

    def log_of(self, name: str) -> Path:
        """The log of a process."""
        return self.log / f"{name}.log"

    def create(self) -> None:
        """Make what is missing, for this user's eyes only.

        HomeError for a directory that is somebody else's, or that holds other things.
        """
        _make_private(self.root)
        self._claim()
        for part in _PARTS:
            _make_private(self.root / part)
        self._create_run()

    def tenant(self) -> UUID:
        """The tenant of development tokens, the same as long as the home lives."""
        return UUID(self._description()["tenant"])

    def endpoint(self) -> Endpoint:
        """Where the platform takes calls. NotRunningError if it does not."""
        path = self.root / "endpoint.json"
        # A supervisor that was killed could not take the file away.
        if not (path.exists() and self.is_locked()):
            raise NotRunningError(
                f"no platform runs in {self.root}: start it with `reverie up`, or name its home with --home"
            )
        return Endpoint.of_json(json.loads(path.read_bytes()))

    def publish(self, endpoint: Endpoint | None) -> None:
        """Tell clients where to call; None: nowhere any more."""
        path = self.root / "endpoint.json"
        if endpoint is None:
            path.unlink(missing_ok=True)
        else:
            files.replace(path, json.dumps(endpoint.as_json(), indent=2) + "\n")

    def is_locked(self) -> bool:
        """Whether a supervisor runs."""
        if not self._lock_file.exists():
            return False
        with self._lock_file.open("rb") as file:
            # Asked, not tried: trying would keep a supervisor that starts this very moment from its lock.
            answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _WRITE_LOCK)
        return bool(_LOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def refuse_if_locked(self) -> None:
        """HomeError, saying what to do, if a supervisor runs."""
        if self.is_locked():
            raise HomeError(
                f"a platform already runs in {self.root}: look at it with `reverie status`, stop it with "
                "`reverie down`, or start another one with --home DIRECTORY --port 0 --operator-port 0"
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home as its only supervisor; the kernel lets go when the process ends, however it ends."""
        with self._lock_file.open("ab") as file:
            try:
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, _WRITE_LOCK)
            except BlockingIOError:
                self.refuse_if_locked()
                raise HomeError(f"another command is busy with {self.root}: try again") from None
            yield

    def remove(self) -> None:
        """Remove everything. Only for a home where nothing runs."""
        run = self.run
        shutil.rmtree(self.root, ignore_errors=True)
        if run.parent != self.root:
            shutil.rmtree(run, ignore_errors=True)

    @property
    def _lock_file(self) -> Path:
        return self.root / "supervisor.lock"

    def _claim(self) -> None:
        """Mark the directory as a home, so that no other one is ever taken for it."""
        path = self.root / "home.json"
        if path.exists():
            if (found := self._description()["format"]) != _FORMAT:
                raise HomeError(
                    f"{self.root} has format {found}, this version knows {_FORMAT}: name another with --home"
                )
            return
        if any(entry.name != "supervisor.lock" for entry in self.root.iterdir()):
            raise HomeError(f"{self.root} is not empty and is no home of Reverie: name another with --home")
        files.replace(path, json.dumps({"format": _FORMAT, "tenant": str(uuid4())}) + "\n")

    def _description(self) -> dict[str, Any]:
        path = self.root / "home.json"
        try:
            description: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise NotRunningError(f"{self.root} is no home yet: make one with `reverie up`") from None
        except ValueError as error:
            raise HomeError(f"{path} is damaged ({error}): name another home with --home") from error
        return description

    def _create_run(self) -> None:
        link = self.root / "run"
        if link.is_symlink() or fits(link):
            _make_private(self.run)
            return
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        short = Path(tempfile.gettempdir()) / f"reverie-{os.getuid()}-{digest}"
        if not fits(short):
            raise HomeError(
                f"both {link} and {short} are too long for Unix sockets: name a shorter home with --home, "
                "or a shorter TMPDIR"
            )
        _make_private(short)
        link.symlink_to(short)


def fits(run: Path) -> bool:
    """Whether every socket below this run directory has a path that the kernel takes."""
    return len(os.fsencode(run)) + ROOM_FOR_SOCKETS <= SOCKET_BYTES


def _make_private(directory: Path) -> None:
    """A directory of mode 0700 that belongs to this user."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # lstat: in a shared temporary directory somebody else may have put a link in this place.
        found = directory.lstat()
        if found.st_uid != os.geteuid():
            raise HomeError(f"{directory} belongs to user {found.st_uid}: name another home with --home")
        if found.st_mode & 0o777 != 0o700:
            directory.chmod(0o700)
    except OSError as error:
        raise HomeError(
            f"can't use {directory}: {error.strerror}; name another home with --home, or make it writable"
        ) from error
