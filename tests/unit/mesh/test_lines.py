"""What passes on lines, and what a silence is."""

import asyncio

import pytest

from mesh.beat import Beat
from mesh.lines import AdminLine, Http2Line, Line

PING, ACK, SETTINGS = 6, 1, 4
FOREVER = 3600.0


class Wire(asyncio.WriteTransport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


def frame(kind: int, flags: int = 0, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + bytes(4) + body


def connected(line: Line) -> Wire:
    wire = Wire()
    line.connection_made(wire)
    return wire


async def asked(line: Line) -> "asyncio.Task[bool]":
    asking = asyncio.ensure_future(line.answers(FOREVER))
    await asyncio.sleep(0)
    return asking


async def test_a_pong_is_an_answer_in_however_many_pieces_it_comes() -> None:
    line = Http2Line()
    wire = connected(line)
    assert wire.written == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS)
    wire.written = b""
    asking = await asked(line)
    assert wire.written == frame(PING, 0, bytes(8))
    for byte in frame(PING, ACK, bytes(8)):
        assert not asking.done()
        line.data_received(bytes((byte,)))
    assert await asking


async def test_what_the_server_asks_is_answered_and_is_no_answer() -> None:
    line = Http2Line()
    wire = connected(line)
    asking = await asked(line)
    wire.written = b""
    line.data_received(frame(SETTINGS, 0, bytes(6)) + frame(PING, 0, b"12345678") + frame(SETTINGS, ACK))
    assert wire.written == frame(SETTINGS, ACK) + frame(PING, ACK, b"12345678")
    await asyncio.sleep(0)
    assert not asking.done()
    asking.cancel()


@pytest.mark.parametrize(("status", "ready"), [(b"200 OK", True), (b"503 Service Unavailable", False)])
async def test_a_proxy_says_whether_it_is_ready(status: bytes, ready: bool) -> None:
    line = AdminLine()
    connected(line)
    asking = await asked(line)
    line.data_received(b"HTTP/1.1 " + status + b"\r\ntransfer-encoding: chunked\r\n\r\n5\r\nLIVE\n")
    await asyncio.sleep(0)
    assert not asking.done()
    line.data_received(b"\r\n0\r\n\r\n")
    assert await asking
    assert line.is_ready is ready


async def test_the_end_of_a_line_is_no_answer_and_ends_the_waiting() -> None:
    line = Http2Line()
    connected(line)
    asking = await asked(line)
    line.connection_lost(None)
    assert not await asking
    assert line.is_cut
    await line.rest(Beat(FOREVER))
    assert not await line.answers(FOREVER)


async def test_an_answer_that_nobody_asked_for_does_not_end_a_rest() -> None:
    line = Http2Line()
    connected(line)
    beat = Beat(FOREVER)
    resting = asyncio.ensure_future(line.rest(beat))
    await asyncio.sleep(0)
    line.data_received(frame(PING, ACK, bytes(8)))
    await asyncio.sleep(0)
    assert not resting.done()
    beat._strike()
    await resting


async def test_a_silence_counts_only_while_we_are_awake_ourselves() -> None:
    times = iter((0.0, 60.0, 60.0, 60.0))
    line = Http2Line(lambda: next(times))
    connected(line)
    assert not await line.answers(0.0)
    assert list(times) == [], "asked once more after it had slept through its own time-out"
