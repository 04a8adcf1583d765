"""Makes processes whose modules are loaded already: `python -m ops.local.forkserver SOCKET MODULE ...`.

A service takes half a second of a core to load what it consists of, and 40 MiB to hold it. This process loads
all of it once; a service is then a copy of this process, which shares that memory until it writes there.

A connection carries one request: a packet of JSON, with the descriptor that the new process writes its log
to. The answer is the process's number, once it has a session of its own and is bound to our parent; it goes
on when it hears that its number has arrived. It is our parent's child, not ours, and outlives us. All of its
code is what was loaded, whatever has become of the files since.
"""

import gc
import importlib
import importlib.util
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple, cast

import setproctitle

from ops.local.bond import NOT_OURS_ANY_MORE, bound_to

if TYPE_CHECKING:
    from importlib.abc import InspectLoader

ENVIRONMENT = {"SPT_NOENV": "1"}
"""For the environment of the fork server: titles are not to overwrite it, by which processes are known."""

ANSWERS_WITHIN = 2.0
"""Seconds after which who asks for a process has to make it in another way."""

UMASK = 0o077

_PING, _PONG, _HEARD = b"ping", b"pong", b"heard"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What a new process runs, as `python -m module` would, and in which surroundings."""

    module: str
    environment: Mapping[str, str]
    directory: str


class Program(NamedTuple):
    """The `__main__` of a package, and where it is from."""

    spec: ModuleSpec
    code: CodeType


class Order(NamedTuple):
    """A request that can be carried out, and the descriptor of the log."""

    program: Program
    request: Request
    log: int


Programs = Mapping[str, Program]


def ask(server: Path, request: Request, log: int) -> int:
    """The number of the process that a fork server has made, our child. OSError if it does not say in time.

    A process whose number did not arrive ends.
    """
    with _connected(server) as connection:
        socket.send_fds(connection, [json.dumps(asdict(request)).encode()], [log])
        answer = connection.recv(_MOST_BYTES)
        if not answer:
            raise ConnectionError("the fork server made no process: see its log")
        connection.send(_HEARD)
    return int(answer)


def answers(server: Path) -> bool:
    """Whether a fork server answers. OSError if none listens, or it does not answer in time."""
    with _connected(server) as connection:
        connection.send(_PING)
        return connection.recv(_MOST_BYTES) == _PONG


def _connected(server: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(ANSWERS_WITHIN)
        connection.connect(str(server))
    except OSError:
        connection.close()
        raise
    return connection


def main(arguments: Sequence[str]) -> None:
    """Loads the modules, then forks until it is killed. In each copy: runs what was asked for."""
    path, *modules = arguments
    # It looks for the place of the title while the environment is as the kernel left it.
    setproctitle.getproctitle()
    # What is loaded stays: the collector of cycles would look for garbage in it, here and in each copy.
    gc.disable()
    programs = {module: _loaded(module) for module in modules}
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208  (their number is enough)
        sys.exit("a module starts a thread when it is loaded: what has threads can't be copied")
    gc.freeze()
    order = _served(Path(path), programs, bound_to(os.getppid()))
    gc.enable()
    _run(order)


def _loaded(module: str) -> Program:
    """Loads all that a package's `__main__` imports; its own code is kept, to run as `__main__` in copies.

    Where it has a function `prepare`, that does beforehand what every copy would do at its start.
    """
    name = f"{module}.__main__"
    prepare = getattr(importlib.import_module(name), "prepare", None)
    if prepare is not None:
        prepare()
    spec = sys.modules.pop(name).__spec__
    assert spec is not None
    code = cast("InspectLoader", spec.loader).get_code(name)
    assert code is not None
    return Program(spec, code)


def _run(order: Order) -> None:
    """What `python -m` does once it has found the code."""
    setproctitle.setproctitle(f"{sys.executable} -m {order.request.module}")
    setproctitle.setthreadtitle("python")
    spec, code = order.program
    program = importlib.util.module_from_spec(spec)
    program.__name__ = "__main__"
    sys.modules["__main__"] = program
    sys.argv = [str(spec.origin)]
    exec(code, vars(program))  # noqa: S102  (a module of ours)


def _served(path: Path, programs: Programs, bond: Callable[[], None]) -> Order:
    """Answers requests, without end. Returns in the copies: each has the order that it was made for."""
    path.unlink(missing_ok=True)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as listener:
        listener.bind(str(path))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(ANSWERS_WITHIN)
                if (order := _forked_for(connection, programs)) is not None:
                    # From here on in the copy, which must not come back into this loop.
                    _settle(order)
                    bond()
                    _report(connection)
                    return order


def _forked_for(connection: socket.socket, programs: Programs) -> Order | None:
    """The order that came by a connection, in the copy that was made for it. None here, also if none was."""
    order = None
    try:
        order = _ordered(connection, programs)
        if order is not None and _is_the_copy():
            return order
    except (OSError, ValueError, TypeError, KeyError) as error:
        sys.stderr.write(f"nothing came of a request: {error!r}\n")
    if order is not None:
        os.close(order.log)
    return None


def _ordered(connection: socket.socket, programs: Programs) -> Order | None:
    """What a connection asks for; None if nothing, or only whether we answer."""
    packet, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 1)
    try:
        if packet == _PING:
            connection.send(_PONG)
        if not packet or packet == _PING:
            return None
        request = Request(**json.loads(packet))
        program, (log,) = programs[request.module], descriptors
        descriptors = []
        return Order(program, request, log)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _is_the_copy() -> bool:
    """Forks. The copy is one of a copy that ends at once, so the kernel gives it to our parent."""
    if between := os.fork():
        os.waitpid(between, 0)
        return False
    between = os.getpid()
    try:
        grandchild = os.fork()
    except OSError:
        os._exit(1)
    if grandchild:
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.0005)
    return True


def _settle(order: Order) -> None:
    """Takes the surroundings that were asked for."""
    os.setsid()
    os.umask(UMASK)
    os.chdir(order.request.directory)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (order.log, 1), (order.log, 2)):
        os.dup2(ours, theirs)
    os.close(nothing)
    os.close(order.log)
    os.environ.clear()
    os.environ.update(order.request.environment)


def _report(connection: socket.socket) -> None:
    """Tells who asked that there is a process, or ends it: somebody who did not hear makes another."""
    try:
        connection.send(str(os.getpid()).encode())
        heard = connection.recv(_MOST_BYTES) == _HEARD
    except OSError:
        heard = False
    if not heard:
        os._exit(NOT_OURS_ANY_MORE)


if __name__ == "__main__":
    main(sys.argv[1:])
