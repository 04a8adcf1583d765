"""Hints: what wakes the workers of analysis after a commit.

The queue itself is in the database; a hint says which memories to look at, by ids, never content. So hints
may be lost, doubled or late without harm: a sweeper hints again what has been due for too long.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from services.runtime.telemetry import Counter
from services.runtime.valkey import attempt, failures
from services.storage.client import HINT_FIELD, HINT_STREAM

if TYPE_CHECKING:
    from redis.asyncio.cluster import RedisCluster

KEYS_AN_ENTRY = 64
"""Memories in one entry at most: small enough to spread a burst over several workers."""

MAX_ENTRIES = 10_000
"""The stream's length, about; the oldest entries go first. 20 MiB at most."""

Key = tuple[UUID, UUID]
"""Owner and id of a memory."""

Pause = Callable[[float], Awaitable[object]]

_CAPACITY = 65_536
_A_PIPELINE = 4_096
_PAUSE_SECONDS = 0.5

GATHER_SECONDS = 0.1
"""How long hints wait for others: to send, store and take one costs as much as to send many.

So nothing of it stands before the answer to the write, either.
"""


class HintStream:
    """Sends hints behind the back of writes: taking one costs an append to a bounded buffer, and never fails.

    While a pipeline is under way, what arrives meanwhile becomes the next one. When the buffer is full the
    oldest hints are dropped; when Valkey does not answer those under way are. Both are counted.
    """

    def __init__(
        self, valkey: "RedisCluster", *, capacity: int = _CAPACITY, pause: Pause = asyncio.sleep
    ) -> None:
        self.sent = Counter("reverie_hints_sent_total", "Hints that Valkey took.")
        self.dropped = Counter(
            "reverie_hints_dropped_total", "Hints that were given up; the sweeper mends it."
        )
        self._valkey = valkey
        self._pause = pause
        self._waiting: deque[Key] = deque(maxlen=capacity)
        self._some = asyncio.Event()
        self._failing = False
        self._log = structlog.get_logger("hints")

    def wrote(self, keys: Sequence[Key]) -> None:
        """Take hints for memories that became due. Returns at once; never raises."""
        lost = max(0, len(self._waiting) + len(keys) - (self._waiting.maxlen or 0))
        self._waiting.extend(keys)
        self._some.set()
        if lost:
            self.dropped.add(lost)

    async def run(self) -> None:
        """Send what was taken, until cancelled; what comes within a moment together."""
        while True:
            await self._some.wait()
            await self._pause(GATHER_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Send what was taken so far, or drop it."""
        while self._waiting:
            keys = [self._waiting.popleft() for _ in range(min(_A_PIPELINE, len(self._waiting)))]
            if not await self._send(keys):
                await self._pause(_PAUSE_SECONDS)
        self._some.clear()

    async def _send(self, keys: Sequence[Key]) -> bool:
        try:
            async with attempt(self._valkey), self._valkey.pipeline(transaction=False) as pipeline:
                for entry in entries(keys):
                    pipeline.xadd(HINT_STREAM, {HINT_FIELD: entry}, maxlen=MAX_ENTRIES, approximate=True)
                await pipeline.execute()
        except failures() as error:
            self.dropped.add(len(keys))
            self._say_failing(error)
            return False
        self.sent.add(len(keys))
        self._say_well()
        return True

    def _say_failing(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            self._log.warning("hints are dropped: Valkey does not take them", error=type(error).__name__)

    def _say_well(self) -> None:
        if self._failing:
            self._failing = False
            self._log.info("hints are sent again", dropped=int(self.dropped.value()))


def entries(keys: Sequence[Key]) -> Iterator[bytes]:
    """Pack keys into the fields of entries, `KEYS_AN_ENTRY` each."""
    for start in range(0, len(keys), KEYS_AN_ENTRY):
        yield b"".join(owner.bytes + id_.bytes for owner, id_ in keys[start : start + KEYS_AN_ENTRY])


class Sweeper:
    """Hints again what has been due for too long: what a lost hint, a lapsed lease or a backoff left behind.

    Of several instances one does it in each round: the first that sets a key in Valkey which lives as long
    as the round. Without Valkey there is nothing to do, since hints could not be sent.
    """

    KEY = f"{HINT_STREAM}:sweep"

    def __init__(
        self,
        overdue: Callable[[], Awaitable[Sequence[Key]]],
        hints: HintStream,
        valkey: "RedisCluster",
        *,
        instance: str,
        every_seconds: float = 5.0,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._overdue = overdue
        self._hints = hints
        self._valkey = valkey
        self._instance = instance
        self._every_seconds = every_seconds
        self._pause = pause
        self._log = structlog.get_logger("sweeper")

    async def run(self) -> None:
        """Sweep every so often, until cancelled."""
        while True:
            await self._pause(self._every_seconds)
            await self.sweep()

    async def sweep(self) -> int:
        """Sweep once, if this round is ours; return how many memories were hinted."""
        if not await self._ours():
            return 0
        try:
            keys = await self._overdue()
        except Exception as error:  # noqa: BLE001  (whatever it was, the next round tries again)
            self._log.warning("what is overdue could not be read", error=str(error))
            return 0
        self._hints.wrote(keys)
        return len(keys)

    async def _ours(self) -> bool:
        milliseconds = max(1, int(self._every_seconds * 900))
        try:
            async with attempt(self._valkey):
                taken: Any = await self._valkey.set(self.KEY, self._instance, nx=True, px=milliseconds)
        except failures():
            return False
        return bool(taken)
