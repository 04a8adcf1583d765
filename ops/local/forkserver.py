"""Makes processes whose modules are loaded already: `python -m ops.local.forkserver SOCKET MODULE ...`.

A service takes half a second of a core to load what it consists of, and 40 MiB to hold it. This process loads
all of it once; a service is then a copy of this process, which shares that memory until it writes there.

A connection carries one request: a packet of JSON, with the descriptor that the new process writes its log
to. The answer is the process's number, once it runs in a session of its own and is bound to our parent. It is
our parent's child, not ours: nothing happens to it when we end.
"""

import gc
import importlib
import json
import os
import runpy
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import setproctitle

from ops.local.bond import bound_to

ENVIRONMENT = {"SPT_NOENV": "1"}
"""For the environment of the fork server: titles are not to overwrite it, by which processes are known."""

ANSWERS_WITHIN = 2.0
"""Seconds after which who asks for a process has to make it in another way."""

_MOST_BYTES = 1 << 20
_MODE = 0o077


@dataclass(frozen=True, slots=True)
class Request:
    """What a new process runs, as `python -m module` would, and in which surroundings."""

    module: str
    environment: Mapping[str, str]
    directory: str


def ask(server: Path, request: Request, log: int) -> int:
    """The number of the process that a fork server has made, our child. OSError if it does not say in time.

    A process that is made all the same finds that nobody listens, and ends.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(ANSWERS_WITHIN)
        connection.connect(str(server))
        socket.send_fds(connection, [json.dumps(asdict(request)).encode()], [log])
        answer = connection.recv(_MOST_BYTES)
    if not answer:
        raise ConnectionError("the fork server went away before it had made a process")
    return int(answer)


def main(arguments: Sequence[str]) -> None:
    """Loads the modules, then forks until it is killed. In each copy: runs what was asked for."""
    path, *modules = arguments
    # It looks for the place of the title while the environment is as the kernel left it.
    setproctitle.getproctitle()
    # What is loaded stays: the collector of cycles would look for garbage in it, here and in each copy.
    gc.disable()
    for module in modules:
        _load(module)
    gc.freeze()
    request = _served(Path(path), bound_to(os.getppid()))
    gc.enable()
    setproctitle.setproctitle(f"{sys.executable} -m {request.module}")
    sys.argv = [request.module]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _load(module: str) -> None:
    """Loads all that a module imports. It is to run as `__main__` itself, not to be there already."""
    importlib.import_module(f"{module}.__main__")
    del sys.modules[f"{module}.__main__"]


def _served(path: Path, bind: Callable[[], None]) -> Request:
    """Answers requests, without end. Returns in the copies: each has the request that it was made for."""
    path.unlink(missing_ok=True)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as listener:
        listener.bind(str(path))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                if (request := _copied(connection, bind)) is not None:
                    return request


def _copied(connection: socket.socket, bind: Callable[[], None]) -> Request | None:
    """Forks for the request of a connection. None here, and where nothing was asked for."""
    packet, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 1)
    if not packet:
        return None
    request, (log,) = Request(**json.loads(packet)), descriptors
    if not _forked_for_our_parent():
        os.close(log)
        return None
    _settle(request, log)
    bind()
    connection.send(str(os.getpid()).encode())
    return request


def _forked_for_our_parent() -> bool:
    """Whether this is the copy: of a copy that ends at once, so that the kernel gives it to our parent."""
    if between := os.fork():
        os.waitpid(between, 0)
        return False
    between = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.0005)
    return True


def _settle(request: Request, log: int) -> None:
    """Takes the surroundings that were asked for."""
    os.setsid()
    os.umask(_MODE)
    os.chdir(request.directory)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, theirs)
    os.close(nothing)
    os.close(log)
    os.environ.clear()
    os.environ.update(request.environment)


if __name__ == "__main__":
    main(sys.argv[1:])
