"""Lines: connections that are kept open to ask, again and again, whether somebody is awake.

    line = await http2(app_socket)
    while await line.answers(within=0.5):
        await line.rest(beat)
    line.is_cut       # True: it is gone; False: it is there and says nothing

Asking costs little: a ping is answered by the gRPC library itself, also while its process works hard, and a
proxy's `/ready` by its main thread.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from mesh.beat import Beat
from services.runtime.clock import MonotonicClock, monotonic

_LATE = 0.1
"""Seconds by which we may wake up too late and still trust our own clock."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES = 9
_SETTINGS, _PING = 4, 6
_ACK = 1
_OPAQUE = bytes(8)

_READY = b"GET /ready HTTP/1.1\r\nhost: admin\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Line(asyncio.Protocol, ABC):
    """One connection. One question at a time."""

    def __init__(self, clock: MonotonicClock = monotonic) -> None:
        self.is_cut = False
        """Whether the other side has closed it, or died."""
        self._clock = clock
        self._asks = False
        self._heard = bytearray()
        self._woken: asyncio.Future[None] | None = None
        self._transport: asyncio.WriteTransport | None = None

    async def answers(self, within: float) -> bool:
        """Ask; whether an answer comes in so many seconds. They do not count while we ourselves sleep.

        A process that was stopped, or had no turn for long, finds all its time-outs past at once when it goes
        on, with the answers still unread: it would take everybody else for dead.
        """
        self._asks = True
        self._ask()
        while self._asks and not self.is_cut:
            due = self._clock() + within
            alarm = asyncio.get_running_loop().call_later(within, self._wake)
            await self._until_woken()
            alarm.cancel()
            if self._clock() - due < _LATE:
                break
        return not self._asks

    async def rest(self, beat: Beat) -> None:
        """Return at the next beat, or as soon as it is cut."""
        if not self.is_cut:
            beat.call(self._wake)
            await self._until_woken()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def _until_woken(self) -> None:
        # A bare future: tasks and events, made anew for every ping, cost several times as much.
        self._woken = asyncio.get_running_loop().create_future()
        await self._woken

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _hear(self) -> None:
        """Take an answer. One that nobody asked for wakes nobody."""
        if self._asks:
            self._asks = False
            self._wake()

    @abstractmethod
    def _ask(self) -> None: ...

    def _write(self, content: bytes) -> None:
        if self._transport is not None and not self.is_cut:
            self._transport.write(content)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """By asyncio."""
        # Of another class where the loop is uvloop's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """By asyncio."""
        self.is_cut = True
        self._wake()


_Kind = TypeVar("_Kind", bound=Line)


class Http2Line(Line):
    """To a gRPC server without TLS: asks by HTTP/2's PING (RFC 9113, 6.7). Opens no stream."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """By asyncio."""
        super().connection_made(transport)
        self._write(_PREFACE + _frame(_SETTINGS, 0, b""))

    def data_received(self, data: bytes) -> None:
        """By asyncio."""
        self._heard += data
        while len(self._heard) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(self._heard[:3], "big")
            if len(self._heard) < end:
                return
            kind, flags, body = self._heard[3], self._heard[4], bytes(self._heard[_HEADER_BYTES:end])
            del self._heard[:end]
            self._take(kind, flags, body)

    def _take(self, kind: int, flags: int, body: bytes) -> None:
        if kind == _PING and flags & _ACK:
            self._hear()
        elif kind in {_PING, _SETTINGS} and not flags & _ACK:
            self._write(_frame(kind, _ACK, body if kind == _PING else b""))

    def _ask(self) -> None:
        self._write(_frame(_PING, 0, _OPAQUE))


class AdminLine(Line):
    """To an Envoy's admin interface: asks whether it is ready for calls."""

    def __init__(self, clock: MonotonicClock = monotonic) -> None:
        super().__init__(clock)
        self.is_ready = False
        """What it said last."""

    def data_received(self, data: bytes) -> None:
        """By asyncio."""
        self._heard += data
        if self._heard.endswith(_LAST_CHUNK):
            self.is_ready = self._heard.startswith(b"HTTP/1.1 200 ")
            self._heard.clear()
            self._hear()

    def _ask(self) -> None:
        self._write(_READY)


def _frame(kind: int, flags: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + bytes(4) + body


async def http2(socket: Path) -> Http2Line:
    """A line to a gRPC server. Raises OSError if nobody listens there."""
    return await _connected(Http2Line, socket)


async def admin(socket: Path) -> AdminLine:
    """A line to a proxy. Raises OSError if nobody listens there."""
    return await _connected(AdminLine, socket)


async def _connected(kind: Callable[[], _Kind], socket: Path) -> _Kind:
    _, line = await asyncio.get_running_loop().create_unix_connection(kind, str(socket))
    return line
