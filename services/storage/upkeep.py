"""What the database needs every so often: the coming year's partitions, and statistics of their parents."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.runtime.errors import ReverieError
from services.storage.database import Pool
from services.storage.queries import text

_HOUR = 3_600.0
_log = structlog.get_logger("upkeep")


async def upkeep(
    pool: Pool, every_seconds: float = _HOUR, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Does what is needed, again and again, until cancelled. What fails is done the next time."""
    while True:
        try:
            await keep_up(pool)
        except ReverieError as error:
            _log.warning("upkeep failed; it is tried again", error=error.message)
        await pause(every_seconds)


async def keep_up(pool: Pool) -> None:
    """Does it once. Several instances may do it at the same time."""
    ((made,),) = await pool.fetch(text("extend_partitions"))
    if made:
        _log.info("partitions made", partitions=made)
    await pool.fetch(text("analyze"))


async def ready(pool: Pool, every_seconds: float = 0.2) -> None:
    """Returns when the database answers and has the schema, however long that takes."""
    import asyncpg

    said = False
    while True:
        try:
            await pool.fetch(text("active_model"))
        except (ReverieError, asyncpg.PostgresError) as error:
            if not said:
                _log.warning("waiting for the database and its schema", error=str(error))
            said = True
            await asyncio.sleep(every_seconds)
        else:
            return
