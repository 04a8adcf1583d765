"""Ports on the loopback that stay the same from one start of a home to the next."""

import contextlib
import errno
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.runtime import files

LOOPBACK = "127.0.0.1"
SPAN = range(18_000, 32_000)
"""Where free ports are looked for: below the range from which the kernel serves outgoing connections."""


class PortTakenError(Exception):
    """Raised when a port that was asked for is in use; says what to do."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A port that is needed."""

    name: str
    """Who listens, as `storage-a-0`."""
    port: int = 0
    """0: any, by preference the one of last time."""
    option: str = ""
    """How a person chooses another."""


def choose(
    wishes: Iterable[Wish], kept: Mapping[str, int], is_free: Callable[[int], bool], start: int
) -> dict[str, int]:
    """A port for each wish, all different.

    One that was named is taken as it is, or PortTakenError. For the others: what was kept from last time if
    it is still free, else the next free one of `SPAN` from `start` on, round and round.
    """
    chosen: dict[str, int] = {}
    wishes = sorted(wishes, key=lambda wish: wish.port == 0)
    for wish in wishes:
        taken = set(chosen.values())
        if wish.port:
            if wish.port in taken or not is_free(wish.port):
                raise PortTakenError(_advice(wish))
            chosen[wish.name] = wish.port
            continue
        candidates = [port for port in (kept.get(wish.name),) if port]
        found = next((p for p in (*candidates, *_round(start)) if p not in taken and is_free(p)), None)
        if found is None:
            raise PortTakenError(f"no free port between {SPAN.start} and {SPAN.stop}: end what listens there")
        chosen[wish.name] = found
    return chosen


def _round(start: int) -> Iterator[int]:
    size = len(SPAN)
    return (SPAN[(start + offset) % size] for offset in range(size))


def _advice(wish: Wish) -> str:
    return (
        f"port {wish.port} is taken by another program: choose another with {wish.option} PORT, "
        f"or any free one with {wish.option} 0"
    )


def start_of(root: Path) -> int:
    """Where a home begins to look, so that homes which start together rarely want the same."""
    return int.from_bytes(hashlib.sha256(os.fsencode(root)).digest()[:4], "big")


class Reservation:
    """Ports held for those that will listen on them.

    The claim that homes make among each other is a name in the kernel, which like a port belongs to the
    machine's network and ends with the process. Each port is bound here too, without listening, so that
    others get none while a proxy is started again; one other may listen on it (with SO_REUSEADDR, as Envoy
    does).
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[socket.socket, ...]] = {}

    def take(self, port: int) -> bool:
        """Hold a port. False if it is in use, which connections that are over do not make it."""
        if port in self._held:
            return True
        with contextlib.ExitStack() as held:
            try:
                claim = held.enter_context(_claimed(port))
                with _bound(port) as probe:
                    # Only this tells: two may bind a port, but one may listen.
                    probe.listen()
                holder = held.enter_context(_bound(port))
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    return False
                raise
            held.pop_all()
        self._held[port] = (claim, holder)
        return True

    def keep_only(self, ports: Iterable[int]) -> None:
        """Let go of all others."""
        for port in set(self._held) - set(ports):
            for held in self._held.pop(port):
                held.close()

    def close(self) -> None:
        """Let go of all."""
        self.keep_only(())


def _claimed(port: int) -> socket.socket:
    """The name that stands for a port among homes. OSError if another has it."""
    claim = socket.socket(socket.AF_UNIX)
    return _bind(claim, f"\0reverie/port/{port}")


def _bound(port: int) -> socket.socket:
    """The port, bound beside others that don't listen. OSError if somebody does."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bind(bound, (LOOPBACK, port))


def _bind(unbound: socket.socket, address: str | tuple[str, int]) -> socket.socket:
    try:
        unbound.bind(address)
    except OSError:
        unbound.close()
        raise
    return unbound


@contextlib.contextmanager
def reserved(wishes: Iterable[Wish], path: Path) -> Iterator[dict[str, int]]:
    """The ports of a home, held while in use and written to `path` for the next time."""
    reservation = Reservation()
    try:
        chosen = choose(wishes, kept(path), reservation.take, start_of(path.parent))
        reservation.keep_only(chosen.values())
        files.replace(path, json.dumps(chosen, indent=2) + "\n")
        yield chosen
    finally:
        reservation.close()


def kept(path: Path) -> dict[str, int]:
    """The ports of last time, by who listened; none if they are not known."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # a damaged file costs no more than other ports
        return {}
    return {str(name): int(port) for name, port in found.items()}
