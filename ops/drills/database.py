"""The platform's database, beside the platform: for what nobody can do from outside."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from ops.local.plan import POSTGRES, database_secrets
from ops.local.platform import Platform
from ops.local.postgres import DATABASE, SUPERUSER
from services.runtime import names

if TYPE_CHECKING:
    import asyncpg

_OF_AN_OWNER = ("analysis_due", "embeddings", "memories")
_TRIES = 10


@contextlib.asynccontextmanager
async def connected(platform: Platform) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that may do anything."""
    import asyncpg

    home = platform.home
    password = (database_secrets(home) / "superuser").read_text("ascii").strip()
    connection = await asyncpg.connect(
        host=str(home.instance(POSTGRES)), user=SUPERUSER, password=password, database=DATABASE
    )
    try:
        yield connection
    finally:
        await connection.close()


def owner_of(platform: Platform, user: str) -> UUID:
    """The owner of a user's memories."""
    return names.owner_of(platform.home.tenant(), user)


async def forget(platform: Platform, users: Sequence[str]) -> None:
    """Takes away the memories of users that nobody reads again, also while they are still analysed."""
    owners = [owner_of(platform, user) for user in users]
    async with connected(platform) as connection:
        for table in _OF_AN_OWNER:
            await deleted(connection, table, owners)


async def deleted(
    connection: "asyncpg.Connection[asyncpg.Record]", table: str, owners: Sequence[UUID]
) -> None:
    """Deletes the rows of owners. Workers take rows in an order of their own, so it may be in their way."""
    import asyncpg

    for tries_left in reversed(range(_TRIES)):
        try:
            await connection.execute(f"DELETE FROM {table} WHERE owner = ANY ($1)", owners)  # noqa: S608
        except asyncpg.DeadlockDetectedError:
            if not tries_left:
                raise
        else:
            return
