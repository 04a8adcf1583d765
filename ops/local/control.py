"""How others ask a supervisor for something: a line of JSON on a Unix socket, a line back.

{"do": "restart", "name": "query-a-0"}   ->   {"ok": true}   or   {"error": "no process ..."}
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from ops.local.home import HomeError, NotRunningError
from ops.local.lifecycle import Event, Restarted, Unwanted, Wanted
from ops.local.supervisor import Supervisor

_LONGEST_LINE = 4096
_TIMEOUT = 5.0


def parse(line: bytes) -> Event:
    """The event that a line asks for. ValueError, saying why, if it asks for none."""
    try:
        request = json.loads(line)
        verb, name = request["do"], request["name"]
    except (ValueError, KeyError, TypeError):
        verb, name = None, None
    match verb, name:
        case "start", str(name):
            return Wanted((name,))
        case "stop", str(name):
            return Unwanted((name,))
        case "restart", str(name):
            return Restarted(name)
        case _:
            raise ValueError('a request is one line: {"do": "start|stop|restart", "name": "..."}')


@contextlib.asynccontextmanager
async def served(path: Path, supervisor: Supervisor) -> AsyncIterator[None]:
    """Take requests while the context lasts. Whoever may open the socket may ask."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply: dict[str, bool | str]
        try:
            async with asyncio.timeout(_TIMEOUT):
                supervisor.submit(parse(await reader.readline()))
            reply = {"ok": True}
        except (ValueError, KeyError) as error:
            reply = {"error": str(error.args[0])}
        except TimeoutError:
            reply = {"error": "no request came"}
        writer.write(json.dumps(reply).encode() + b"\n")
        writer.close()

    server = await asyncio.start_unix_server(answer, str(path), limit=_LONGEST_LINE)
    async with server:
        yield


async def ask(path: Path, verb: str, name: str) -> None:
    """Ask the supervisor to `start`, `stop` or `restart` a process; it answers before that has happened.

    NotRunningError if there is no supervisor, HomeError if it refuses.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunningError("the supervisor does not run: start it with `reverie up`") from None
    try:
        writer.write(json.dumps({"do": verb, "name": name}).encode() + b"\n")
        async with asyncio.timeout(_TIMEOUT):
            reply = json.loads(await reader.readline())
    finally:
        writer.close()
    if error := reply.get("error"):
        raise HomeError(error)
