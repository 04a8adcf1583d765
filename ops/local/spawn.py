"""Makes processes that end with the one that made them, however that ends."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from ops.local import forkserver, procfs
from ops.local.bond import bound_to
from ops.local.forkserver import Request
from ops.local.process import ProcessSpec
from services.runtime.clock import MonotonicClock, monotonic

MARK = "REVERIE_SUPERVISED"
"""In the environment of every process that a supervisor makes: the root of its home."""
_SILENCE_SECONDS = 30.0
"""For so long a fork server is not asked again that has let somebody wait in vain."""
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "PYTHONPATH", "REVERIE_PG_BIN", "REVERIE_VALKEY_BIN")


class _Process(Protocol):
    """What is needed of a child process; `subprocess.Popen` is one."""

    pid: int

    def send_signal(self, sig: int) -> None: ...

    def wait(self) -> int: ...


class _Forked:
    """A child that the fork server has made."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def send_signal(self, sig: int) -> None:
        # Until it is waited for nobody else gets its number.
        if self._code is None:
            os.kill(self.pid, sig)

    def wait(self) -> int:
        if self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
        return self._code


class Child:
    """A process that was made here. Not to be used from several threads."""

    def __init__(self, process: _Process) -> None:
        identity = procfs.identify(process.pid)
        self._process = process
        self.id = identity or procfs.ProcessId(process.pid, 0, "")
        """A process that is over already is known by its number alone: it is not waited for yet."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end: the exit code, or the negative number of the signal that ended it."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        descriptor = os.pidfd_open(self._process.pid)
        try:
            loop.add_reader(descriptor, over.set)
            await over.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._process.wait()


class Spawner:
    """Makes the processes of one home. Use it in the main thread: children end with the *thread*."""

    def __init__(
        self,
        root: Path,
        log_of: Callable[[str], Path],
        fork_socket: Path,
        environ: Mapping[str, str],
        clock: MonotonicClock = monotonic,
    ) -> None:
        kept = {name: environ[name] for name in _INHERITED if name in environ}
        if path := kept.get("PYTHONPATH"):
            # Children run elsewhere, where a relative path would lead nowhere.
            kept["PYTHONPATH"] = os.pathsep.join(
                str(Path(part).absolute()) for part in path.split(os.pathsep)
            )
        self._environment = {**kept, MARK: str(root), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
        self._log_of = log_of
        self._fork_socket = fork_socket
        self._clock = clock
        self._silent_until = float("-inf")
        self._bond = bound_to(os.getpid())

    def __call__(self, spec: ProcessSpec) -> Child:
        """Make the process: in a session of its own, out of the terminal's reach. OSError if it can't be.

        A module of ours is made by the fork server, while it answers. That may take `ANSWERS_WITHIN`.
        """
        with self._log_of(spec.name).open("ab") as log:
            return Child(self._forked(spec, log) or self._executed(spec, log))

    def _forked(self, spec: ProcessSpec, log: BinaryIO) -> _Process | None:
        """A copy; None if there is no fork server for it, or it does not answer."""
        if not spec.module or self._clock() < self._silent_until:
            return None
        directory = str(spec.directory or Path.cwd())
        request = Request(spec.module, {**self._environment, **spec.env}, directory)
        try:
            return _Forked(forkserver.ask(self._fork_socket, request, log.fileno()))
        except OSError as error:
            if isinstance(error, TimeoutError):
                self._silent_until = self._clock() + _SILENCE_SECONDS
            log.write(f"made without the fork server: {error}\n".encode())
            return None

    def _executed(self, spec: ProcessSpec, log: BinaryIO) -> _Process:
        return subprocess.Popen(
            spec.argv,
            env={**self._environment, **spec.env},
            cwd=spec.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=forkserver.UMASK,
            preexec_fn=self._bond,  # noqa: PLW1509  (system calls alone; it takes no lock)
        )


def dead_strangers(known: Collection[int]) -> set[int]:
    """The children of ours that have ended and are not among the known ones: orphans that came to us."""
    return {pid for pid in procfs.dead_children(os.getpid()) if pid not in known}


def bury(dead: Iterable[int]) -> None:
    """Waits for children that have ended, for nobody else does."""
    for pid in dead:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def describe(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
