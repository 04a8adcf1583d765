"""A relay between storage and PostgreSQL that loses answers: a fault that no product code contains."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_SOCKET = ".s.PGSQL.5432"
_CHUNK = 65_536


@dataclass
class Relay:
    """Passes bytes on, until it is told what to do with the server's next answer."""

    server: Path
    directory: Path
    cut_next_answer: bool = False
    """Once: drop both sides when the server's answer arrives, so that the client never sees it."""
    hold_answers: bool = False
    """Keep answers back, as a server does that hangs."""
    cuts: int = 0
    held: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def before(cls, server: Path) -> "AsyncIterator[Self]":
        """A relay before a server's socket directory, for a while."""
        with tempfile.TemporaryDirectory(prefix="reverie-relay-") as name:
            relay = cls(server, Path(name))
            listening = await asyncio.start_unix_server(relay._serve, str(Path(name) / _SOCKET))
            try:
                yield relay
            finally:
                relay.hold_answers = False
                listening.close()
                relay._drop()
                await listening.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(self.server / _SOCKET))
        self._writers += (writer, to_server)
        asked = asyncio.ensure_future(self._pass_on(reader, to_server))
        await self._answer(from_server, writer)
        asked.cancel()
        for one in (writer, to_server):
            one.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if self.cut_next_answer:
                    self.cut_next_answer, self.cuts = False, self.cuts + 1
                    return
                if self.hold_answers:
                    self.held += 1
                    continue
                writer.write(data)

    def _drop(self) -> None:
        for writer in self._writers:
            writer.close()
