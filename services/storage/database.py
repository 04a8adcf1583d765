"""Connections to PostgreSQL: a pool for each role, and what the database's failures mean.

On every connection instants are whole microseconds since 1970-01-01 UTC (int), vectors (`halfvec`) are bytes
of float32, little-endian, and ids are UUIDs. Statements are prepared once and kept. Pools connect when they
are first used, and again after the database was away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import numpy as np

from services.runtime.errors import Overloaded, ReverieError, StoreDown, StoreFull

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Record = asyncpg.Record
    Connection = PoolConnectionProxy[asyncpg.Record]

ACQUIRE_SECONDS = 1.0
"""How long a call waits for a connection: then all are busy, or the database takes none."""

WAITING = 32
"""Calls that may wait for a pool, for each of its connections: some tens of milliseconds of work."""

RETRY_DELAY = timedelta(milliseconds=500)
"""What a caller is told to wait when all connections are busy."""

AWAY_DELAY = timedelta(milliseconds=250)
"""What a caller is told to wait when the database is away: it takes seconds to come back."""

FAR_PAST = -62_200_000_000_000_000
"""Before every instant that a memory may have."""

FAR_FUTURE = 2**62
"""After every instant that a memory may have."""

_UNIX_TO_POSTGRES = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL begins to count."""

# Every statement names an owner, so its plan does not depend on which one: planning it anew would cost a
# point read as much again. And there is an index for each, which a planner that has seen only empty tables
# would not take.
_PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}

_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "read": {"default_transaction_read_only": "on", "statement_timeout": "15s", **_PLANS},
    # No timeout where anything is committed: a cancelled commit looks like a success. That the database gave
    # up waiting for a replica is a warning, so warnings must come through.
    "write": {"client_min_messages": "warning", **_PLANS},
    "analysis": {"client_min_messages": "warning", **_PLANS},
    "admin": {"client_min_messages": "warning"},
}

_DISK_FULL = "53100"
_AWAY = ("08", "25006", "55000", "53", "57", "58")
"""SQLSTATEs, or classes of them, that say: not now. 25006 and 55000: it is no primary. 57: it shuts down."""
_CONFLICT = "40"
"""The class of what another transaction was in the way of: at once again, it may go."""


# The driver's internal error is what a second statement meets on a connection that has just died.
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when the database fails, or refuses."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is, and how to get in."""

    socket: Path
    """Directory of the server's Unix socket."""
    name: str
    secrets: Path
    """Directory with one password file a role."""


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """The most connections of each pool: its calls wait for one another, not for other pools'."""

    read: int = 8
    search: int = 4
    """Snapshots of searches, which may take long; with the role of reads."""
    write: int = 4
    bulk: int = 2
    """Batches of imports, whose transactions are long; with the role of writes."""
    analysis: int = 2
    admin: int = 2


class _Leave(Protocol):
    def __call__(self, connection: "Connection", *, in_order: bool) -> None: ...


class Acquired:
    """`async with`: a connection that is taken before and left after.

    A class, as every read goes through it: generators would cost a tenth of a small statement.
    """

    __slots__ = ("_connection", "_leave", "_take")

    def __init__(self, take: "Callable[[], Awaitable[Connection]]", leave: _Leave) -> None:
        self._take, self._leave = take, leave

    async def __aenter__(self) -> "Connection":
        try:
            self._connection = await self._take()
        except FAILURES as failure:
            if (error := error_of(failure)) is None:
                raise
            raise error from failure
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self._connection, in_order=failure is None)
        if failure is not None and (error := error_of(failure)) is not None:
            raise error from failure


class Pool:
    """Connections of one role."""

    def __init__(self, address: Address, role: str, size: int) -> None:
        self._password_file = address.secrets / role
        self._waiting = 0
        self._kept: list[Connection] = []
        """Those that nobody uses: the driver's pool takes and gives by tasks and timers, which for a small
        statement is as long as the statement."""
        self._given_back: set[asyncio.Task[None]] = set()
        self._closing = False
        self._most_waiting = size * WAITING
        self._pool: asyncpg.Pool[asyncpg.Record] = asyncpg.create_pool(
            host=str(address.socket),
            user=f"reverie_{role}",
            password=self._password,
            database=address.name,
            server_settings={**_SETTINGS[role], "application_name": "storage"},
            min_size=0,
            max_size=size,
            max_inactive_connection_lifetime=0,
            max_cached_statement_lifetime=0,
            init=prepare,
            reset=_nothing_to_reset,
        )

    async def open(self) -> None:
        """Makes the pool usable. Does not connect, so the database may be down."""
        await self._pool

    async def fetch(self, query: str, *arguments: Any) -> "list[Record]":
        """The rows of one statement, in a transaction of its own."""
        async with self.acquired() as connection:
            return await connection.fetch(query, *arguments)

    def acquired(self) -> "Acquired":
        """A connection for a while. Failures of the database come out as StoreDown or StoreFull.

        Overloaded if all are busy for too long, or too many wait already.
        """
        return Acquired(self._take, self._leave)

    @asynccontextmanager
    async def snapshot(self) -> "AsyncIterator[Connection]":
        """A connection on which every statement sees the same state."""
        async with (
            self.acquired() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def close(self) -> None:
        """Closes every connection, each when its work is done."""
        self._closing = True
        while self._kept:
            self._give_back(self._kept.pop())
        await self._pool.close()

    async def _take(self) -> "Connection":
        return self._kept_one() or await self._acquire()

    def _leave(self, connection: "Connection", *, in_order: bool) -> None:
        # One that may be broken, or in the middle of something, is for the driver's pool to look at.
        if in_order and not (self._waiting or self._closing):
            self._kept.append(connection)
        else:
            self._give_back(connection)

    def _kept_one(self) -> "Connection | None":
        """A connection that the last call left; None if there is none that still works."""
        while self._kept:
            connection = self._kept.pop()
            with suppress(asyncpg.InterfaceError):  # the driver's pool has taken back one that broke
                if not connection.is_closed():
                    return connection
        return None

    def _give_back(self, connection: "Connection") -> None:
        """Lets the driver's pool have a connection, which takes it in a task of its own."""
        giving_back = asyncio.ensure_future(self._released(connection))
        self._given_back.add(giving_back)
        giving_back.add_done_callback(self._given_back.discard)

    async def _released(self, connection: "Connection") -> None:
        # Of a connection that broke the pool may have heard first, and has taken it back.
        with suppress(asyncpg.InternalClientError):
            await self._pool.release(connection)

    async def _acquire(self) -> "Connection":
        if self._waiting >= self._most_waiting:
            raise Overloaded(retry_delay=RETRY_DELAY)
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=ACQUIRE_SECONDS)
        except TimeoutError:
            if self._pool.get_size() == self._pool.get_max_size():
                raise Overloaded(retry_delay=RETRY_DELAY) from None
            raise
        finally:
            self._waiting -= 1

    def _password(self) -> str:
        return self._password_file.read_text(encoding="ascii").strip()


class Database:
    """The pools of one database node."""

    def __init__(self, address: Address, sizes: PoolSizes | None = None) -> None:
        sizes = sizes or PoolSizes()
        self.read = Pool(address, "read", sizes.read)
        self.search = Pool(address, "read", sizes.search)
        self.write = Pool(address, "write", sizes.write)
        self.bulk = Pool(address, "write", sizes.bulk)
        self.analysis = Pool(address, "analysis", sizes.analysis)
        self.admin = Pool(address, "admin", sizes.admin)

    @classmethod
    @asynccontextmanager
    async def opened(cls, address: Address, sizes: PoolSizes | None = None) -> "AsyncIterator[Database]":
        """Pools for a while. The database may be down: they connect when they are used."""
        database = cls(address, sizes)
        pools = (
            *(database.read, database.search, database.write),
            *(database.bulk, database.analysis, database.admin),
        )
        for pool in pools:
            await pool.open()
        try:
            yield database
        finally:
            for pool in pools:
                await pool.close()


async def prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Makes a connection speak in microseconds and float32."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda unix: (unix - _UNIX_TO_POSTGRES,),
        decoder=lambda postgres: postgres[0] + _UNIX_TO_POSTGRES,
    )
    await connection.set_type_codec(
        "halfvec", schema="public", format="binary", encoder=halfvec, decoder=float32
    )


def halfvec(vector: bytes) -> bytes:
    """A vector as PostgreSQL takes it: dimensions, zero, and half precision, big-endian."""
    numbers = np.frombuffer(vector, "<f4")
    return len(numbers).to_bytes(2, "big") + b"\0\0" + numbers.astype(">f2").tobytes()


def float32(halfvec: bytes) -> bytes:
    """What `halfvec` was made of, as exactly as half precision tells."""
    return np.frombuffer(halfvec, ">f2", offset=4).astype("<f4").tobytes()


def error_of(failure: BaseException) -> ReverieError | None:
    """The error behind a failure; None if it is a fault of ours or of the data.

    Says nothing about whether a write took place: see `services.storage.write`.
    """
    if not isinstance(failure, FAILURES):
        return None
    if not isinstance(failure, asyncpg.PostgresError):
        return StoreDown(retry_delay=AWAY_DELAY)
    state = failure.sqlstate or ""
    if state == _DISK_FULL:
        return StoreFull()
    if state.startswith(_CONFLICT):
        return StoreDown()
    return StoreDown(retry_delay=AWAY_DELAY) if state.startswith(_AWAY) else None


async def _nothing_to_reset(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Our transactions leave nothing behind; the driver's reset costs 0.2 ms a call."""
