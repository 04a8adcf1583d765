"""The users of a load: what each has, does next, and was promised."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

from ops.drills.journal import Journal, Kind, Outcome, digest_of, mark_of
from reverie.memory.v1 import memory_pb2
from reverie_client import Ids, Memory, NewMemory, Source, User, errors
from reverie_client.content import to_message
from services.runtime.clock import MonotonicClock, utc_now

DEADLINE = timedelta(seconds=10)
"""What has not been answered by then counts as failed."""
LATELY = 4
"""How many of the memories that changed last a read asks for."""
_SEARCH_HITS = 10
_SAYS_NO = (
    errors.InvalidArgument,
    errors.NotFound,
    errors.MemoryExists,
    errors.MemoryDeleted,
    errors.OwnerErased,
    errors.EtagMismatch,
    errors.StoreRefused,
)
"""Answers about what was asked for. After any other, an earlier try of the same call may have happened."""

WRITES = frozenset({"create", "update", "delete"})


@dataclass(frozen=True, slots=True)
class World:
    """What all users of a load share."""

    journal: Journal
    chance: Random
    clock: MonotonicClock
    conversation: str
    """The mark of this drill: the source of every memory that it makes."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ids: Ids = field(default_factory=Ids)


class Person:
    """One user, who writes by one connection and reads by another, which is told the token of the first."""

    def __init__(self, writer: User, reader: User, world: World) -> None:
        self.writer = writer
        self.name = writer.user_id
        self._reader = reader
        self._world = world
        self._free: list[memory_pb2.Memory] = []
        """As acknowledged last; nothing is under way on them."""
        self._lately: deque[UUID] = deque(maxlen=LATELY)
        self._words: dict[UUID, str] = {}
        """What finds each memory, of those that are there."""

    @property
    def does(self) -> Mapping[str, Callable[[int], Awaitable[None]]]:
        """What a user does, by kind of call; each is told the number of the call."""
        return {
            "create": self._create,
            "update": self._update,
            "delete": self._delete,
            "read": self._read,
            "search": self._search,
        }

    def can(self, kind: str) -> str:
        """The kind of call itself, or a create where there is nothing yet to do it with."""
        ready = {"create": True, "read": self._lately, "search": self._words}.get(kind, self._free)
        return kind if ready else "create"

    def caught_up(self, reader: User | None = None) -> User:
        """A reader, the usual one if none is given, promised to see whatever was acknowledged until now."""
        reader = reader or self._reader
        if token := self.writer.consistency_token:
            reader.continue_from(token)
        return reader

    async def _create(self, number: int) -> None:
        word = f"lighthouse{number}"
        id_, text, now = self._world.ids.mint(), f"Saw {word} from the ferry at {number} past.", utc_now()
        source = Source(self._world.conversation, position=number)

        async def send() -> Memory:
            return await self.writer.create(text, id=id_, occurred_at=now, source=source, within=DEADLINE)

        self._words[id_] = word
        message = to_message(NewMemory(text, occurred_at=now, source=source))
        await self._write(id_, Kind.CREATE, message, send)

    async def _update(self, number: int) -> None:
        held = self._take()
        id_ = Memory(held).id
        changed = memory_pb2.Memory()
        changed.CopyFrom(held)
        changed.text = f"Saw {self._words[id_]} again at {number} past."

        async def send() -> Memory:
            return await self.writer.update(Memory(held), text=changed.text, within=DEADLINE)

        await self._write(id_, Kind.UPDATE, changed, send)

    async def _write(
        self, id_: UUID, kind: Kind, message: memory_pb2.Memory, send: Callable[[], Awaitable[Memory]]
    ) -> None:
        """Sends a create or an update. What has an unknown outcome is left alone from then on."""
        operation = self._world.journal.begin(
            self.name, id_, kind, digest_of(message), mark_of(message), self._world.clock()
        )
        try:
            answer = await send()
        except errors.ReverieError as error:
            self._world.journal.end(operation, outcome_of(error), self._world.clock())
            raise
        now = self._world.clock()
        self._world.journal.end(operation, Outcome.OK, now)
        self._world.journal.saw(id_, self._world.journal.promised(id_), digest_of(answer.message), now)
        self._lately.append(id_)
        self._free.append(answer.message)

    async def _delete(self, _number: int) -> None:
        held = self._take()
        id_, journal = Memory(held).id, self._world.journal
        operation = journal.begin(self.name, id_, Kind.DELETE, None, mark_of(held), self._world.clock())
        del self._words[id_]
        try:
            await self.writer.delete(id_, etag=held.etag, within=DEADLINE)
        except errors.ReverieError as error:
            journal.end(operation, outcome_of(error), self._world.clock())
            raise
        journal.end(operation, Outcome.OK, self._world.clock())
        self._lately.append(id_)

    async def _read(self, _number: int) -> None:
        journal = self._world.journal
        promised = {id_: journal.promised(id_) for id_ in self._lately}
        found = await self.caught_up().get_many(promised, within=DEADLINE)
        now, shown = self._world.clock(), {memory.id: memory for memory in found.memories}
        for id_, place in promised.items():
            digest = digest_of(shown[id_].message) if id_ in shown else None
            journal.saw(id_, place, digest, now)

    async def _search(self, _number: int) -> None:
        """Asks for the word of one memory, which must be among the hits if a token promises it."""
        journal = self._world.journal
        wanted = next((id_ for id_ in reversed(self._lately) if id_ in self._words), None)
        if wanted is None:
            wanted = next(iter(self._words))
        promised = journal.promised(wanted)
        hits = await self.caught_up().search(self._words[wanted], limit=_SEARCH_HITS, within=DEADLINE).page()
        digest = next((digest_of(hit.memory.message) for hit in hits.items if hit.memory.id == wanted), None)
        journal.saw(wanted, promised, digest, self._world.clock())

    def _take(self) -> memory_pb2.Memory:
        """Any memory that nothing is under way on; it is put back when that ends well."""
        place = self._world.chance.randrange(len(self._free))
        self._free[place], self._free[-1] = self._free[-1], self._free[place]
        return self._free.pop()


def outcome_of(error: errors.ReverieError) -> Outcome:
    """What an error says of an operation."""
    return Outcome.REFUSED if isinstance(error, _SAYS_NO) else Outcome.UNKNOWN
