"""Upkeep goes on, whatever the database says."""

import asyncio
from typing import Any

import asyncpg

from services.runtime.errors import StoreDown
from services.storage.upkeep import Upkeep


class Pool:
    """Answers statements with what is next; a failure is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def fetch(self, _query: str, *_arguments: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def upkeep(*answers: Any, pauses: int) -> tuple[Upkeep, Pool, list[float]]:
    """One that is cancelled after so many pauses."""
    pool: Any = Pool(*answers)
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == pauses:
            raise asyncio.CancelledError

    return Upkeep(pool, pause=pause), pool, paused


async def test_it_is_ready_when_there_is_a_schema_and_keeps_up_from_then_on() -> None:
    kept, pool, paused = upkeep(
        StoreDown(), asyncpg.UndefinedTableError("no meta"), [(1,)], [(16,)], [], pauses=3
    )
    running = asyncio.ensure_future(kept.run(every_seconds=60))
    await kept.ready(every_seconds=1)
    assert len(pool.answers) == 2
    await asyncio.wait((running,))
    assert paused == [1, 1, 60]
    assert not pool.answers


async def test_what_fails_is_done_the_next_time() -> None:
    refused = asyncpg.LockNotAvailableError("a lock")
    kept, pool, paused = upkeep([(1,)], refused, StoreDown(), [(0,)], [], pauses=3)
    await kept.ready()
    await asyncio.wait((asyncio.ensure_future(kept.run(every_seconds=60)),))
    assert paused == [60, 60, 60]
    assert not pool.answers
