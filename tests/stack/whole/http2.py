"""An HTTP/2 client by hand, that can do what every library is careful not to: stop reading."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x8
_END_STREAM, _END_HEADERS = 0x1, 0x4
_ROOM = 2**31 - 1 - 65_535
STREAM_WINDOW = 65_535
"""How much a server may send of one answer before it is told to go on, which it never is."""


class DeafClient:
    """Asks, and takes no more of each answer than the first 64 KiB."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stream = 1
        # The connection has room for all answers: each is held up by its own window alone.
        room = _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _ROOM))
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + room)

    def ask(self, path: str, token: str, message: bytes) -> int:
        """Begins a gRPC call; its stream."""
        stream, self._stream = self._stream, self._stream + 2
        fields = {
            ":method": "POST",
            ":scheme": "https",
            ":path": path,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
            "authorization": f"Bearer {token}",
        }
        block = b"".join(_literal(name.encode(), value.encode()) for name, value in fields.items())
        body = b"\0" + struct.pack(">I", len(message)) + message
        self._writer.write(
            _frame(_HEADERS, _END_HEADERS, stream, block) + _frame(_DATA, _END_STREAM, stream, body)
        )
        return stream

    async def held_up(self, stream: int) -> None:
        """Returns when the answer of a call has used up its window."""
        taken = 0
        while taken < STREAM_WINDOW:
            size, kind, flags, of = struct.unpack(">IBBI", b"\0" + await self._reader.readexactly(9))
            await self._reader.readexactly(size)
            assert not (kind == _DATA and flags & _END_STREAM), "an answer came to its end"
            assert not (kind == _HEADERS and flags & _END_STREAM), "a call was refused"
            assert (kind, of) != (_RESET, stream), "a call was given up"
            taken += size if (kind, of) == (_DATA, stream) else 0


@asynccontextmanager
async def deaf(address: str, ca: Path) -> AsyncIterator[DeafClient]:
    """One connection to an edge; closed at the end."""
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost")
    try:
        yield DeafClient(reader, writer)
    finally:
        writer.transport.abort()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field, neither indexed nor compressed (RFC 7541, 6.2.2)."""
    return b"\0" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    rest = len(text) - 127
    if rest < 0:
        return bytes((len(text),))
    groups = [127]
    while rest > 127:
        groups.append(rest & 127 | 128)
        rest >>= 7
    return bytes((*groups, rest))
