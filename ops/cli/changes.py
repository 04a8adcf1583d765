"""What the writing commands send to the platform."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ops.cli import clock
from ops.cli.connecting import connected
from ops.cli.failures import COULD_NOT_RUN, CommandError, checked
from ops.cli.questions import user_of
from reverie_client import Kind, Memory, Place, Source
from reverie_client.content import Changes


@dataclass(frozen=True, slots=True)
class Typed:
    """What a person typed of a memory, besides its text."""

    at: str | None = None
    ended: str | None = None
    place: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    people: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    language: str | None = None
    conversation: str | None = None
    speaker: str = ""
    position: int = 0

    def changes(self) -> Changes:
        """The fields that were given. CommandError for what can't be read."""
        found = Changes()
        zone = clock.local_zone()
        if self.at is not None:
            found["occurred_at"] = checked("--at", clock.typed, self.at, zone)
        if self.ended is not None:
            found["occurred_until"] = checked("--ended", clock.typed, self.ended, zone).at
        if (place := self._place()) is not None:
            found["place"] = place
        if self.people is not None:
            found["people"] = self.people
        if self.labels is not None:
            found["labels"] = self.labels
        if self.language is not None:
            found["language"] = self.language
        return found

    def source(self) -> Source | None:
        """The turn of a conversation that it is."""
        if self.conversation is None:
            if self.speaker or self.position:
                raise CommandError("--speaker and --position need --conversation", code=COULD_NOT_RUN)
            return None
        return Source(self.conversation, self.speaker, self.position)

    def _place(self) -> Place | None:
        if self.place is not None:
            return Place(self.place, self.latitude, self.longitude)
        if self.latitude is not None or self.longitude is not None:
            raise CommandError("--latitude and --longitude need --place", code=COULD_NOT_RUN)
        return None


_CLEARED: dict[str, Changes] = {
    "ended": {"occurred_until": None},
    "place": {"place": None},
    "people": {"people": ()},
    "labels": {"labels": ()},
    "language": {"language": ""},
    "attachments": {"attachments": ()},
}


def add(home: Path | None, user: str, text: str, kind: str, memory_id: str | None, typed: Typed) -> Memory:
    """Creates a memory."""
    changes, source = typed.changes(), typed.source()
    chosen = None if memory_id is None else checked("--id", _uuid, memory_id)

    async def create() -> Memory:
        async with connected(home) as reverie:
            return await reverie.user(user).create(text, id=chosen, kind=Kind(kind), source=source, **changes)

    return asyncio.run(create())


def update(
    home: Path | None,
    user: str,
    memory: str,
    text: str | None,
    typed: Typed,
    clear: Sequence[str],
    etag: str | None,
) -> Memory:
    """Changes a memory, in the state that it is in if no etag is given."""
    changes = typed.changes()
    for name in clear:
        if name not in _CLEARED:
            raise CommandError(f"--clear knows {', '.join(_CLEARED)}, not {name!r}", code=COULD_NOT_RUN)
        changes.update(_CLEARED[name])
    if text is None and not changes:
        raise CommandError("say what to change, as --text or --label", code=COULD_NOT_RUN)

    name = user_of(memory, user)

    async def change() -> Memory:
        async with connected(home) as reverie:
            its_user = reverie.user(name)
            state = etag or (await its_user.get(memory)).etag
            return await its_user.update(memory, etag=state, text=text, **changes)

    return asyncio.run(change())


def delete(home: Path | None, user: str, memory: str, etag: str | None) -> str:
    """Deletes a memory; its full name."""
    name = user_of(memory, user)

    async def remove() -> str:
        async with connected(home) as reverie:
            its_user = reverie.user(name)
            await its_user.delete(memory, etag=etag or "")
            return its_user.name_of(memory)

    return asyncio.run(remove())


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"{text!r} is no UUID, as 01890a5d-ac96-774b-bcce-b302099a8057 is") from None
