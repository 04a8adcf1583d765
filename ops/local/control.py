"""How others ask a supervisor for something: a line of JSON on a Unix socket, a line back.

{"do": "restart", "names": ["query-a-0"]}   ->   {"ok": true}   or   {"error": "no process ..."}
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from ops.local.home import HomeError, NotRunningError
from ops.local.lifecycle import Event, Held, Restarted, Unwanted, Wanted
from ops.local.supervisor import Supervisor

_LONGEST_LINE = 16_384
_TIMEOUT = 5.0
_VERBS: dict[str, Callable[[tuple[str, ...]], tuple[Event, ...]]] = {
    "start": lambda names: (Wanted(names),),
    "stop": lambda names: (Unwanted(names),),
    "restart": lambda names: tuple(map(Restarted, names)),
    "hold": lambda names: (Held(names),),
}


def parse(line: bytes) -> tuple[Event, ...]:
    """The events that a line asks for. ValueError, saying why, if it asks for none."""
    try:
        request = json.loads(line)
        verb, names = request["do"], request["names"]
    except (ValueError, KeyError, TypeError):
        verb, names = None, None
    if not (isinstance(verb, str) and verb in _VERBS and _are_names(names)):
        raise ValueError(f'a request is one line: {{"do": "{"|".join(_VERBS)}", "names": ["...", ...]}}')
    return _VERBS[verb](tuple(names))


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)


@contextlib.asynccontextmanager
async def served(path: Path, supervisor: Supervisor) -> AsyncIterator[None]:
    """Take requests while the context lasts. Whoever may open the socket may ask."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply: dict[str, bool | str]
        try:
            async with asyncio.timeout(_TIMEOUT):
                line = await reader.readline()
            for event in parse(line):
                supervisor.submit(event)
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


def ask(path: Path, verb: str, *names: str) -> None:
    """Ask the supervisor to `start`, `stop`, `restart` or `hold` processes; it answers before it acts.

    What is asked first is done first. Blocks for some milliseconds, for five seconds at most.
    NotRunningError if there is no supervisor, HomeError if it refuses or does not answer.
    """
    try:
        reply = _exchange(path, json.dumps({"do": verb, "names": names}).encode() + b"\n")
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunningError("the supervisor does not run: start it with `reverie up`") from None
    except (OSError, ValueError) as error:
        raise HomeError(f"the supervisor does not answer ({error}): look with `reverie status`") from error
    if refusal := reply.get("error"):
        raise HomeError(refusal)


def _exchange(path: Path, line: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(str(path))
        connection.sendall(line)
        with connection.makefile("rb") as answer:
            return json.loads(answer.readline())
