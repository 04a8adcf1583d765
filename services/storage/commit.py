"""One transaction that must not be cut short, and what its failure says about whether it took place.

A commit that is cancelled while it waits for a replica looks like a success and can be lost. So nothing is
ever cancelled: when time is up, or the caller gone, the connection is dropped, and nobody knows what became
of the transaction.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import grpc

from services.runtime import deadline
from services.runtime.errors import DeadlineTooShort, UnknownOutcome
from services.storage.database import Pool, error_of

if TYPE_CHECKING:
    from services.storage.database import Connection, Record

Value = TypeVar("Value")
Context = grpc.aio.ServicerContext[Any, Any]

_WARNING = "01000"
"""What the database says when it stopped waiting for a replica."""

_DATA = ("22", "23", "54")
"""SQLSTATE classes of rows that the database will not have: data exception, constraint, limit."""

_NOT_SENT = ("08001", "08004", "53300", "57P03")
"""SQLSTATEs that come before a statement can be sent."""


class RefusedError(Exception):
    """Raised when the database refused a statement for its data. Nothing was written."""

    def __init__(self, failure: asyncpg.PostgresError) -> None:
        # The message names limits and types; the detail, which would show the row, stays out.
        super().__init__(f"{failure.sqlstate}: {failure.args[0] if failure.args else type(failure).__name__}")


async def commit(
    connection: "Connection", query: str, arguments: Sequence[Any], seconds: float
) -> "list[Record]":
    """The rows of a statement that commits by itself.

    UnknownOutcome if nobody knows whether it did, RefusedError, StoreFull or StoreDown if it did not.
    """
    if seconds <= 0:
        raise DeadlineTooShort
    warnings = _Warnings()
    connection.add_log_listener(warnings)
    try:
        rows = await _within(connection, connection.fetch(query, *arguments), seconds)
    except asyncpg.PostgresError as failure:
        raise meaning(failure) from failure
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as failure:
        raise UnknownOutcome from failure
    finally:
        with suppress(asyncpg.InterfaceError):  # the pool has taken a broken connection back already
            connection.remove_log_listener(warnings)
    if warnings.heard:
        connection.terminate()
        raise UnknownOutcome
    return rows


async def committed(pool: Pool, query: str, arguments: Sequence[Any], context: Context) -> "list[Record]":
    """The same on a connection of a pool, within the deadline of a call."""
    seconds = deadline.shaved(deadline.remaining(context))
    async with pool.acquired() as connection:
        return await commit(connection, query, arguments, seconds)


async def _within(connection: "Connection", work: Coroutine[Any, Any, Value], seconds: float) -> Value:
    """What the work returns, or UnknownOutcome and a dropped connection when time is up."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if not task.done():
            raise UnknownOutcome
        return task.result()
    finally:
        if not task.done():
            connection.terminate()
            await asyncio.gather(task, return_exceptions=True)


def meaning(failure: asyncpg.PostgresError) -> Exception:
    """What a failure of a statement that commits says about the commit; itself if it is a fault of ours."""
    state = failure.sqlstate or ""
    if state.startswith(_DATA):
        return RefusedError(failure)
    error = error_of(failure)
    if error is None:
        return failure
    # An error of the statement rolled it back. One of the connection may have come after the commit.
    severity = getattr(failure, "severity", "")
    if severity == "ERROR" or state in _NOT_SENT:
        return error
    return UnknownOutcome()


class _Warnings:
    """Hears whether the database warned that it did not wait."""

    def __init__(self) -> None:
        self.heard = False

    def __call__(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        self.heard = self.heard or message.sqlstate == _WARNING
