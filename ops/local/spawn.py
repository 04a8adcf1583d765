"""Makes processes that end with the one that made them, however that ends."""

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from ops.local import procfs
from ops.local.process import ProcessSpec

PR_SET_PDEATHSIG = 1
MARK = "REVERIE_SUPERVISED"
"""In the environment of every process that a supervisor makes: the root of its home."""
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "PYTHONPATH", "REVERIE_PG_BIN", "REVERIE_VALKEY_BIN")
_NOT_OURS_ANY_MORE = 126


class Child:
    """A process that was made here. Not to be used from several threads."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
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

    def __init__(self, root: Path, log_of: Callable[[str], Path], environ: Mapping[str, str]) -> None:
        kept = {name: environ[name] for name in _INHERITED if name in environ}
        if path := kept.get("PYTHONPATH"):
            # Children run elsewhere, where a relative path would lead nowhere.
            kept["PYTHONPATH"] = os.pathsep.join(
                str(Path(part).absolute()) for part in path.split(os.pathsep)
            )
        self._environment = {**kept, MARK: str(root), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
        self._log_of = log_of
        self._bind = _bind_to(os.getpid())

    def __call__(self, spec: ProcessSpec) -> Child:
        """Make the process: in a session of its own, out of the terminal's reach. OSError if it can't be."""
        with self._log_of(spec.name).open("ab") as log:
            process = subprocess.Popen(
                spec.argv,
                env={**self._environment, **spec.env},
                cwd=spec.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
                preexec_fn=self._bind,  # noqa: PLW1509  (system calls alone; it takes no lock)
            )
        return Child(process)


def _bind_to(parent: int) -> Callable[[], None]:
    """What a child runs before its program: ask to be killed when the parent ends."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        failed = prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        # The parent may have ended before: then nobody sends the signal any more.
        if failed or os.getppid() != parent:
            os._exit(_NOT_OURS_ANY_MORE)

    return bind


def describe(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
