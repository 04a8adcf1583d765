"""What the database needs every so often: the coming year's partitions, and statistics of their parents."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from services.runtime.errors import ReverieError
from services.storage.database import Pool
from services.storage.queries import text

_HOUR = 3_600.0
_log = structlog.get_logger("upkeep")

Pause = Callable[[float], Awaitable[object]]


class Upkeep:
    """Waits for the database at first, and looks after it from then on."""

    def __init__(self, pool: Pool, *, pause: Pause = asyncio.sleep) -> None:
        self._pool = pool
        self._pause = pause
        self._ready = asyncio.Event()

    async def ready(self, every_seconds: float = 0.2) -> None:
        """Returns when the database answers and has the schema, however long that takes."""
        said = False
        while not await self._has_schema(say=not said):
            said = True
            await self._pause(every_seconds)
        self._ready.set()

    async def run(self, every_seconds: float = _HOUR) -> None:
        """Does what is needed, again and again from `ready` on, until cancelled.

        What fails is done the next time.
        """
        await self._ready.wait()
        while True:
            try:
                await keep_up(self._pool)
            except (ReverieError, asyncpg.PostgresError) as error:
                _log.warning("upkeep failed; it is tried again", exc_info=error)
            await self._pause(every_seconds)

    async def _has_schema(self, *, say: bool) -> bool:
        try:
            await self._pool.fetch(text("active_model"))
        except (ReverieError, asyncpg.PostgresError) as error:
            if say:
                _log.warning("waiting for the database and its schema", error=str(error))
            return False
        return True


async def keep_up(pool: Pool) -> None:
    """Does it once. Several instances may do it at the same time."""
    ((made,),) = await pool.fetch(text("extend_partitions"))
    if made:
        _log.info("partitions made", partitions=made)
    await pool.fetch(text("analyze"))
