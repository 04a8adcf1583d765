"""Workers for tests, with stages that need no model."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from services.analyse.hints import Hints, NoHints
from services.analyse.planner import Pace, Planner
from services.analyse.stage import Work
from services.analyse.worker import Worker
from services.runtime.client import connect
from services.storage.client import StorageAnalysisClient
from tests.stack.servers import until
from tests.stack.storage.harness import VECTOR, Storage


class Instant:
    """A stage that is done at once, but for texts that it cannot take."""

    name = "embed"
    model = 1

    def __init__(self, poison: str = "poison") -> None:
        self.poison = poison
        self.seen: list[str] = []
        self.batches: list[int] = []

    def run(self, work: Sequence[Work]) -> list[bytes]:
        self.batches.append(len(work))
        for item in work:
            if self.poison in item.text:
                raise ValueError(f"cannot take {item.text}")
        self.seen += [item.text for item in work]
        return [VECTOR] * len(work)


class Held(Instant):
    """A stage whose work ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go = threading.Event()

    def run(self, work: Sequence[Work]) -> list[bytes]:
        self.begun.set()
        self.go.wait(30)
        return super().run(work)


@asynccontextmanager
async def working(
    socket: Path,
    stage: Instant,
    hints: Hints | None = None,
    *,
    lease: timedelta = timedelta(seconds=60),
    pace: Pace | None = None,
    shuffle: Callable[[list[int]], None] = random.shuffle,
) -> AsyncIterator[Worker]:
    """A worker at work."""
    async with connect(socket) as channel:
        worker = Worker(
            StorageAnalysisClient(channel),
            stage,
            hints or NoHints(),
            Planner(pace or Pace(poll_seconds=0.02), random.Random(1).random),
            lease=lease,
            shuffle=shuffle,
        )
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await task


async def all_analysed(storage: Storage) -> None:
    """Waits until nothing is due any more."""

    async def done() -> bool:
        return not await storage.sql("SELECT FROM analysis_due WHERE dead_at IS NULL")

    await until(done, "everything that was due is analysed")


def holds(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    """A condition on what is in memory, for `until`."""

    async def held() -> bool:
        return condition()

    return held


async def vectors(storage: Storage) -> int:
    """How many vectors there are."""
    ((count,),) = await storage.sql("SELECT count(*) FROM embeddings")
    return int(count)
