"""The segments of the owners that were searched last, each brought up to date by the search that needs it.

A view is a state of an owner together with the owner's segment at exactly its revision. It is pinned by a
snapshot, or, where all of the segment is in memory, by nothing: a revision names one state of an owner, so
whoever reads more compares states, and looks again through a pinned view if they differ. That spares two
round trips, and no connection waits while memories are ranked. A guessed view spares the third: its state is
the one of the last search.

What is not in memory is read from the database; vectors follow in the background, and until they are there
their cosines come from the database too. Any segment may go at any time; nothing here is written back.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from services.runtime.errors import ReverieError
from services.runtime.telemetry import Counter, Gauge
from services.runtime.tokens import ConsistencyToken
from services.storage import feed
from services.storage.analyses import DIMENSIONS
from services.storage.columns import Columns
from services.storage.feed import Now, Since
from services.storage.freshness import State
from services.storage.segment import Delta, Segment

if TYPE_CHECKING:
    from services.storage.database import Connection, Pool

INLINE = 5_000
"""Memories up to which work on a segment is done at once; beyond, a thread is worth its price."""

LOAD_DELAY_SECONDS = 0.05
"""How long loading of vectors waits: the answer that called for it goes first."""

_BYTES_BESIDE_VECTOR = 8
_TIMELINE_SHIFT = 40


class MovedError(Exception):
    """Raised when the owner has moved on from the state of a view that is not pinned."""


@dataclass(slots=True, eq=False)
class Loading:
    """Vectors that are being loaded in the background.

    It is never cancelled from outside: a COPY that is cut off leaves its connection waiting for a minute.
    """

    wanted: bool = True


class Entry:
    """What is kept of one owner."""

    def __init__(self, owner: UUID) -> None:
        self.owner = owner
        self.lock = asyncio.Lock()
        """Held from before a snapshot until the segment is at its revision: one search after the other."""
        self.segment: Segment | None = None
        self.has_vectors = False
        """Whether the segment holds every vector there is of the model."""
        self.loading: Loading | None = None
        self._kind: tuple[int, bytes] | None = None

    def suits(self, now: Now) -> bool:
        """Say whether the segment is of this model and this history of the database."""
        return self._kind == (now.model, now.state.lineage)

    def last_known(self) -> Now | None:
        """What the database showed when it was at the segment's revision; None without a whole segment."""
        if self.segment is None or self._kind is None or not self.has_vectors:
            return None
        model, lineage = self._kind
        return Now(State(self.segment.revision, erased=False, lineage=lineage), model)

    def renew(self, now: Now) -> None:
        """Start from nothing, for this model and history."""
        self.stop()
        self.segment, self.has_vectors = None, False
        self._kind = (now.model, now.state.lineage)

    def stop(self) -> None:
        """End loading, at its next step."""
        if self.loading is not None:
            self.loading.wanted = False
            self.loading = None


class SegmentCache:
    """Entries by owner; the one that was not used for longest goes first."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = Gauge("reverie_segment_bytes", "Memory that segments take.")
        self.evicted = Counter("reverie_segments_evicted_total", "Segments that went for lack of memory.")
        self._entries: OrderedDict[UUID, Entry] = OrderedDict()
        self._sizes: dict[UUID, int] = {}
        self._total = 0

    def find(self, owner: UUID) -> Entry | None:
        """Return the owner's entry if it has a segment."""
        entry = self._entries.get(owner)
        return entry if entry is not None and entry.segment is not None else None

    def forget_empty(self, entry: Entry) -> None:
        """Let an entry go that has no segment, unless somebody is about to give it one."""
        if entry.segment is None and not entry.lock.locked() and self._entries.get(entry.owner) is entry:
            self.drop(entry.owner)

    def entry(self, owner: UUID) -> Entry:
        """Return the owner's entry, an empty one if there is none."""
        entry = self._entries.get(owner)
        if entry is None:
            entry = self._entries[owner] = Entry(owner)
        self._entries.move_to_end(owner)
        return entry

    def put(self, entry: Entry, segment: Segment, *, has_vectors: bool) -> None:
        """Give an entry another segment, and make room. One that is larger than all room does not stay."""
        entry.segment, entry.has_vectors = segment, has_vectors
        if self._entries.get(entry.owner) is not entry:
            return
        if segment.nbytes > self.most_bytes:
            self.evicted.add()
            self.drop(entry.owner)
            return
        self._resize(entry.owner, segment.nbytes)
        while self._total > self.most_bytes:
            self.evicted.add()
            self.drop(self._oldest())

    def has_room(self, entry: Entry) -> bool:
        """Say whether an entry is kept and would still be with vectors."""
        if entry.segment is None or self._entries.get(entry.owner) is not entry:
            return False
        a_vector = entry.segment.rows.dimensions + _BYTES_BESIDE_VECTOR
        return entry.segment.nbytes + len(entry.segment) * a_vector <= self.most_bytes

    def drop(self, owner: UUID | None = None) -> tuple[int, int]:
        """Forget an owner, or all; return how many segments that were, and how many bytes."""
        dropped = freed = 0
        for one in list(self._entries) if owner is None else [owner]:
            entry = self._entries.pop(one, None)
            if entry is None:
                continue
            entry.stop()
            dropped += entry.segment is not None
            freed += self._sizes.get(one, 0)
            self._resize(one, 0)
        return dropped, freed

    def _oldest(self) -> UUID:
        return next(owner for owner in self._entries if owner in self._sizes)

    def _resize(self, owner: UUID, size: int) -> None:
        self._total += size - self._sizes.pop(owner, 0)
        if size:
            self._sizes[owner] = size
        self.bytes.set(self._total)


@dataclass(frozen=True, slots=True)
class View:
    """A state of an owner, and the owner's memories in it."""

    reader: "Connection | Pool"
    """Reads more: in the same snapshot, or, not pinned, in whatever state there is by then."""
    owner: UUID
    now: Now
    segment: Segment | None
    """None where the state said enough, or there is nothing to search."""
    has_vectors: bool = False
    """Whether the segment has the vectors; else cosines are to be read."""
    warm: bool = False
    """Whether the segment was in memory."""
    guessed: bool = False
    """Whether `now` is what was known last: to be confirmed by what is read for the answer."""


class Segments:
    """Gives views; keeps segments in a cache."""

    def __init__(
        self,
        pool: "Pool",
        cache: SegmentCache,
        *,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._pause = pause
        # One at a time: each holds a connection and some MiB.
        self._room_to_load = asyncio.Semaphore(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("segments")

    def holds(self, owner: UUID) -> bool:
        """Say whether an owner's segment is in memory, whatever its revision."""
        return self._cache.find(owner) is not None

    def guess(self, owner: UUID, seen: ConsistencyToken | None) -> View | None:
        """A view of the state that was known last, if all of it is in memory and it shows what is seen.

        Mostly nothing has changed, and then the statement that reads what is to be shown says so too.
        """
        entry = self._cache.find(owner)
        now = None if entry is None else entry.last_known()
        if entry is None or now is None or not now.state.shows(seen):
            return None
        self._cache.entry(owner)  # used last
        return View(self._pool, owner, now, entry.segment, has_vectors=True, warm=True, guessed=True)

    @asynccontextmanager
    async def view(
        self, owner: UUID, enough: Callable[[State], Awaitable[bool]], *, pinned: bool = True
    ) -> AsyncIterator[View]:
        """The owner's segment at the revision that there is, unless the state alone is `enough`.

        What `enough` raises comes out before anything else is read. Without `pinned` the view may be one that
        is held by nothing.
        """
        unpinned = None if pinned else await self._unpinned(owner, enough)
        if unpinned is not None:
            yield unpinned
            return
        entry = self._cache.entry(owner)
        try:
            async with self._pinned(entry, owner, enough) as view:
                yield view
        finally:
            self._cache.forget_empty(entry)

    async def _unpinned(self, owner: UUID, enough: Callable[[State], Awaitable[bool]]) -> View | None:
        """A view that needs nothing but what is in memory; None if something is missing or behind."""
        if self._cache.find(owner) is None:
            return None
        now = await feed.now(self._pool, owner)
        if await enough(now.state) or now.empty:
            if now.empty:
                self._cache.drop(owner)
            return View(self._pool, owner, now, None)
        entry = self._cache.find(owner)
        if entry is None or entry.segment is None or not entry.suits(now) or not entry.has_vectors:
            return None
        if entry.segment.revision != now.state.revision:
            return None
        self._cache.entry(owner)  # used last
        return View(self._pool, owner, now, entry.segment, has_vectors=True, warm=True)

    @asynccontextmanager
    async def _pinned(
        self, entry: Entry, owner: UUID, enough: Callable[[State], Awaitable[bool]]
    ) -> AsyncIterator[View]:
        async with AsyncExitStack() as held:
            async with entry.lock:
                connection = await held.enter_async_context(self._pool.snapshot())
                now = await feed.now(connection, owner)
                if await enough(now.state) or now.empty:
                    view = View(connection, owner, now, None)
                else:
                    view = await self._view(connection, entry, now)
            if now.empty:
                self._cache.drop(owner)
            yield view

    async def _view(self, connection: "Connection", entry: Entry, now: Now) -> View:
        if not entry.suits(now):
            entry.renew(now)
        segment = await self._moved(connection, entry, now)
        if segment is not None:
            self._load_vectors_soon(entry)
            return View(connection, entry.owner, now, segment, entry.has_vectors, warm=True)
        segment = await self._read(connection, entry.owner, now)
        # A replica that lags behind must not replace what is newer.
        if entry.segment is None or entry.segment.revision < segment.revision:
            self._cache.put(entry, segment, has_vectors=False)
            self._load_vectors_soon(entry)
        return View(connection, entry.owner, now, segment)

    async def _read(self, connection: "Connection", owner: UUID, now: Now) -> Segment:
        columns = await feed.columns(connection, owner)
        return await _somewhere(len(columns), lambda: _built(columns, now))

    async def _moved(self, connection: "Connection", entry: Entry, now: Now) -> Segment | None:
        """Return the entry's segment at the revision of now; None if none can be brought there."""
        segment = entry.segment
        if segment is None or segment.revision == now.state.revision:
            return segment
        moved = await self._with_changes(connection, entry.owner, now, segment, vectors=entry.has_vectors)
        if moved is not None:
            self._cache.put(entry, moved, has_vectors=entry.has_vectors)
        return moved

    async def _with_changes(
        self, connection: "Connection", owner: UUID, now: Now, segment: Segment, *, vectors: bool
    ) -> Segment | None:
        """Return the segment at the revision of now; None if it is newer, or too much has changed.

        None, too, after a failover: the segment may hold what the new primary never had.
        """
        timelines = {segment.revision >> _TIMELINE_SHIFT, now.state.revision >> _TIMELINE_SHIFT}
        if segment.revision > now.state.revision or len(timelines) > 1:
            return None
        since = Since(now.model, DIMENSIONS[now.model], segment.revision) if vectors else None
        delta = await feed.changes(connection, owner, segment.revision, now.state.revision, since)
        if delta is None:
            return None
        return await _somewhere(len(segment), lambda: segment.apply(delta))

    async def settled(self) -> None:
        """Wait until nothing is loaded any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _load_vectors_soon(self, entry: Entry) -> None:
        if entry.has_vectors or entry.loading is not None or not self._cache.has_room(entry):
            return
        entry.loading = Loading()
        task = asyncio.create_task(self._load_vectors(entry, entry.loading))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load_vectors(self, entry: Entry, loading: Loading) -> None:
        try:
            await self._pause(LOAD_DELAY_SECONDS)
            async with self._room_to_load:
                segment = await self._read_with_vectors(entry, loading)
            if segment is not None:
                await self._adopt(entry, loading, segment)
        except ReverieError as error:
            self._log.warning("vectors were not loaded", reason=error.reason)
        finally:
            if entry.loading is loading:
                entry.loading = None

    async def _read_with_vectors(self, entry: Entry, loading: Loading) -> Segment | None:
        """Read an owner's vectors in a snapshot of its own, and what has changed beside them."""
        async with entry.lock:
            if not loading.wanted or entry.segment is None:
                return None
            # Searches go on with the entry's segment meanwhile, and move it.
            own = await _somewhere(len(entry.segment), entry.segment.detached)
        async with self._pool.snapshot() as connection:
            now = await feed.now(connection, entry.owner)
            if now.empty or not entry.suits(now):
                return None
            segment = await self._with_changes(connection, entry.owner, now, own, vectors=False)
            if segment is None:
                segment = await self._read(connection, entry.owner, now)
            async for vectors in feed.vectors(connection, entry.owner, now.model, segment.rows.dimensions):
                if not loading.wanted:
                    return None
                delta = Delta(now.state.revision, vectors=vectors)
                segment = await _somewhere(len(segment), partial(segment.apply, delta))
            return segment

    async def _adopt(self, entry: Entry, loading: Loading, segment: Segment) -> None:
        """Put a segment with vectors in place of the one without, as soon as it is as new."""
        async with entry.lock, self._pool.snapshot() as connection:
            now = await feed.now(connection, entry.owner)
            if now.empty or not entry.suits(now) or not loading.wanted:
                return
            moved = await self._with_changes(connection, entry.owner, now, segment, vectors=True)
            behind = (
                entry.segment is not None and moved is not None and moved.revision < entry.segment.revision
            )
            if moved is not None and not behind:
                self._cache.put(entry, moved, has_vectors=True)


def _built(columns: Columns, now: Now) -> Segment:
    return Segment.build(columns, revision=now.state.revision, dimensions=DIMENSIONS[now.model])


async def _somewhere(memories: int, work: Callable[[], Segment]) -> Segment:
    """Do small work at once, large work in a thread."""
    return work() if memories <= INLINE else await asyncio.to_thread(work)
