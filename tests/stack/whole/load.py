"""A small load of ordinary clients, who write down what they were promised and look whether it holds."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import reverie_client
from ops.local.platform import Platform
from reverie_client import Ids, Memory, User
from reverie_client.errors import DeadlineExceeded, Overloaded, ReverieError, Unavailable

RATE = 50.0
"""Calls a second."""
PEOPLE = 4
LATELY = 20
"""How many of the newest memories a read asks for."""
PATIENCE = 30.0
_MAY_FAIL = (Unavailable, DeadlineExceeded, Overloaded)
"""How a call may end while something is away: nothing is said about the memory."""


@dataclass
class Journal:
    """What one person handed over, and what of it was acknowledged, by id: the digest of the text."""

    sent: dict[UUID, bytes] = field(default_factory=dict)
    acknowledged: dict[UUID, bytes] = field(default_factory=dict)
    texts: dict[UUID, str] = field(default_factory=dict)

    def hand_over(self, id_: UUID, text: str) -> None:
        self.sent[id_] = _digest(text)
        self.texts[id_] = text

    def acknowledge(self, id_: UUID, text: str) -> None:
        self.acknowledged[id_] = _digest(text)

    def lately(self) -> list[UUID]:
        return [*self.acknowledged][-LATELY:]

    def broken(self, there: Iterable[Memory]) -> Iterator[str]:
        """Which promises the memories that are there break."""
        found = [(memory.id, _digest(memory.text)) for memory in there]
        times = Counter(id_ for id_, _ in found)
        yield from (f"{id_} is there {n} times" for id_, n in times.items() if n > 1)
        yield from (f"{id_} is another text" for id_, digest in found if self.sent.get(id_) != digest)
        yield from (f"{id_} is lost" for id_ in self.acknowledged.keys() - times.keys())
        same = Counter(digest for _, digest in found)
        yield from (f"a text is there {n} times" for n in same.values() if n > 1)


@dataclass
class Person:
    """Writes by one connection and reads by another, which is told the token of the first."""

    writer: User
    reader: User
    journal: Journal = field(default_factory=Journal)

    def caught_up(self) -> User:
        """The reader, promised to see whatever was acknowledged until now."""
        if token := self.writer.consistency_token:
            self.reader.continue_from(token)
        return self.reader


class Load:
    """Creates, reads and searches at a steady pace, with the client's ordinary retries."""

    def __init__(self, people: list[Person]) -> None:
        self.people = people
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        """Calls that failed for good, by kind and error."""
        self.broken: list[str] = []
        """Promises that did not hold, and errors that say more than `not now`."""
        self._ids = Ids()
        self._stopping = asyncio.Event()
        self._progress = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._kinds = (self._create, self._read, self._create, self._search)

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Begins no more calls, and returns when those under way have ended, each by its own deadline."""
        self._stopping.set()
        if self._running:
            await self._running

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as calls:
            clock = asyncio.get_running_loop().time
            began = clock()
            for number in count():
                person = self.people[number // len(self._kinds) % len(self.people)]
                kind = self._kinds[number % len(self._kinds)]
                calls.create_task(self._counted(kind.__name__.strip("_"), kind(person, number)))
                if await self._stopped_by(max(began + number / RATE, clock() + 0.001)):
                    return

    async def _stopped_by(self, moment: float) -> bool:
        try:
            async with asyncio.timeout_at(moment):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    async def more(self, calls: int = 10) -> None:
        """Waits until so many more of each kind have succeeded."""
        wanted = {kind: self.done[kind] + calls for kind in ("create", "read", "search")}
        async with asyncio.timeout(PATIENCE):
            while any(self.done[kind] < number for kind, number in wanted.items()):
                self._progress.clear()
                await self._progress.wait()

    async def verify(self) -> None:
        """Looks at everything that is there, and adds to `broken`."""
        for person in self.people:
            self.broken += person.journal.broken(await person.caught_up().timeline())

    async def _counted(self, kind: str, call: Coroutine[Any, Any, None]) -> None:
        try:
            await call
        except ReverieError as error:
            self.failed[f"{kind}: {type(error).__name__} {error.reason}"] += 1
            if not isinstance(error, _MAY_FAIL):
                self.broken.append(f"{kind}: {error.code.name} {error}")
        else:
            self.done[kind] += 1
            self._progress.set()

    async def _create(self, person: Person, number: int) -> None:
        id_, text = self._ids.mint(), f"Saw lighthouse{number} from the ferry at {number} past."
        person.journal.hand_over(id_, text)
        made = await person.writer.create(text, id=id_, occurred_at=datetime.now(UTC))
        person.journal.acknowledge(made.id, made.text)

    async def _read(self, person: Person, _number: int) -> None:
        promised = person.journal.lately()
        if promised:
            found = await person.caught_up().get_many(promised)
            self.broken += [f"a read did not show {name}" for name in found.missing]
            self.broken += [
                f"a read showed another text of {memory.id}"
                for memory in found.memories
                if _digest(memory.text) != person.journal.sent[memory.id]
            ]

    async def _search(self, person: Person, _number: int) -> None:
        promised = person.journal.lately()
        if promised:
            hits = await person.caught_up().search(person.journal.texts[promised[-1]], limit=LATELY)
            if promised[-1] not in {hit.memory.id for hit in hits}:
                self.broken.append(f"a search did not show {promised[-1]}")


@asynccontextmanager
async def load(platform: Platform) -> AsyncIterator[Load]:
    """A load that goes on until it is stopped, at the latest when the context ends."""
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(_person(platform)) for _ in range(PEOPLE)]
        working = Load(people)
        working.start()
        try:
            yield working
        finally:
            await working.stop()


@asynccontextmanager
async def _person(platform: Platform) -> AsyncIterator[Person]:
    user, endpoint = f"person-{uuid4()}", platform.endpoint
    token = platform.token(user=user)
    async with (
        reverie_client.connect(endpoint.public, ca=endpoint.ca, token=token) as writing,
        reverie_client.connect(endpoint.public, ca=endpoint.ca, token=token) as reading,
    ):
        yield Person(writing.user(user), reading.user(user))


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
