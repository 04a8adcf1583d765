"""What a drill takes away from a database that others work on."""

from unittest.mock import AsyncMock
from uuid import uuid4

import asyncpg
import pytest

from ops.drills.database import deleted


async def test_rows_that_a_worker_holds_too_are_deleted_when_it_is_done() -> None:
    connection = AsyncMock()
    connection.execute.side_effect = [asyncpg.DeadlockDetectedError("deadlock"), "DELETE 3"]
    await deleted(connection, "memories", [uuid4()])
    assert connection.execute.await_count == 2


async def test_what_is_always_in_the_way_is_told() -> None:
    connection = AsyncMock()
    connection.execute.side_effect = asyncpg.DeadlockDetectedError("deadlock")
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await deleted(connection, "memories", [uuid4()])


async def test_another_failure_is_told_at_once() -> None:
    connection = AsyncMock()
    connection.execute.side_effect = asyncpg.UndefinedTableError("there is none")
    with pytest.raises(asyncpg.UndefinedTableError):
        await deleted(connection, "nothing", [uuid4()])
    assert connection.execute.await_count == 1
