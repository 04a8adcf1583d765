"""Takes in a file: sends it on a stream for each user, and counts what becomes of it."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ops.cli.call_failures import tell
from ops.cli.connecting import connected
from ops.cli.failures import COULD_NOT_RUN, INTERRUPTED, CommandError
from ops.cli.formats import jsonl, locomo
from ops.cli.formats.entry import Broken, Entry
from ops.cli.progress import Progress
from ops.cli.tally import Report, Tally
from ops.cli.waiting import until_analysed
from reverie_client import NewMemory, Reverie, ReverieError, User
from reverie_client.sessions import state_of
from services.runtime import process


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is about to be read."""

    name: str
    parts: Iterable[tuple[str, Iterator[Entry]]]
    """Users with what is theirs, one after the other."""
    position: Callable[[], float | None]
    """How far it has been read, from 0 to 1; None where that is not known."""


def open_source(file: Path | None, format_name: str, user: str) -> Source:
    """The file that was named. CommandError if there is none or it is none of that format."""
    if format_name == "locomo":
        return _locomo(file or locomo.default_path(), user)
    if file is None:
        raise CommandError("name the file to import", code=COULD_NOT_RUN)
    now = datetime.now(UTC)
    if str(file) == "-":
        return Source("standard input", [(user, jsonl.read(sys.stdin.buffer, user, now))], lambda: None)
    stream = file.open("rb")
    size = file.stat().st_size
    entries = _closing(stream, jsonl.read(stream, user, now))
    return Source(as_typed(file), [(user, entries)], lambda: _read_so_far(stream, size))


def run(home: Path | None, source: Source, *, batch: int, wait: bool) -> Report:
    """Takes the file in. CommandError at Ctrl-C: what is in stays in."""

    async def take_in() -> Report:
        async with connected(home) as reverie:
            return await import_into(reverie, source, batch=batch, wait=wait)

    try:
        return process.run(take_in())
    except KeyboardInterrupt:
        again = "what is in stays in: type the same command again to go on"
        raise CommandError(f"interrupted; {again}", code=INTERRUPTED) from None


async def import_into(reverie: Reverie, source: Source, *, batch: int, wait: bool) -> Report:
    """Takes the file in through a connection.

    A stream that fails for good ends it, as the report says; raised where nothing has gone in before.
    """
    began = time.monotonic()
    users: list[User] = []
    stopped, dead, analysed_after = "", 0, None
    with Progress(source.position) as progress:
        tally = Tally(progress.tell)
        try:
            for user, entries in source.parts:
                users.append(reverie.user(user))
                await _import_user(users[-1], entries, tally, batch, progress)
        except ReverieError as error:
            if not tally.settled:
                raise
            stopped = _why(error)
        seconds = time.monotonic() - began
        if wait and not stopped:
            dead = await until_analysed([user.analysis_state for user in users], progress.analysed)
            analysed_after = time.monotonic() - began
    names = tuple(user.user_id for user in users)
    return Report(source.name, names, tally, seconds, stopped, analysed_after, dead)


async def _import_user(
    user: User, entries: Iterator[Entry], tally: Tally, batch: int, progress: Progress
) -> None:
    revision_before = await _revision(user)
    waiting: deque[str] = deque()

    def readable() -> Iterator[NewMemory]:
        for entry in entries:
            if isinstance(entry, Broken):
                tally.take_broken(entry)
            else:
                waiting.append(entry.where)
                yield entry.new

    async with contextlib.aclosing(user.create_stream(readable(), frame=batch)) as outcomes:
        async for outcome in outcomes:
            tally.take(waiting.popleft(), outcome, revision_before)
            progress.show(tally.settled)


async def _revision(user: User) -> int:
    """The user's revision before the import: whatever has a higher one was added by it."""
    await user.analysis_state()
    state = state_of(user.consistency_token or "")
    return 0 if state is None else state[1]


def _why(error: ReverieError) -> str:
    told = tell(error)
    return str(error) if told is None else told[0]


def _locomo(path: Path, prefix: str) -> Source:
    try:
        conversations = list(locomo.conversations(path, prefix))
    except ValueError as wrong:
        raise CommandError(str(wrong), code=COULD_NOT_RUN) from None
    total = sum(len(entries) for _, entries in conversations)
    read = 0

    def counted(entries: list[Entry]) -> Iterator[Entry]:
        nonlocal read
        for entry in entries:
            read += 1
            yield entry

    parts = [(user, counted(entries)) for user, entries in conversations]
    return Source(as_typed(path), parts, lambda: read / max(1, total))


def as_typed(file: Path) -> str:
    """The path, from where the command was typed if the file lies below it."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _closing(stream: BinaryIO, entries: Iterator[Entry]) -> Iterator[Entry]:
    with stream:
        yield from entries


def _read_so_far(stream: BinaryIO, size: int) -> float | None:
    if stream.closed:
        return 1.0
    return stream.tell() / size if size else None
