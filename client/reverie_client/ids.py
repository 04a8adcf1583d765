"""Ids of memories. An id is chosen by the client and is what makes a create repeatable."""

import hashlib
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_COUNTER_BITS = 12
_RANDOM_BITS = 62
_LONGEST_STEP_BACK_MS = 60_000
"""A clock that is set back by more is followed: Reverie refuses ids ten minutes ahead of its own clock."""
_VERSION_7 = 0x7 << 76
_VERSION_8 = 0x8 << 76
_VARIANT = 0b10 << 62
_DERIVATION = b"reverie derived id, first kind\0"


def wall_clock_ms() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000_000


class Ids:
    """Mints UUIDs of version 7, each greater than the one before, also within a millisecond.

    Ids of two minters are unique but not in order among each other. Not for use by several threads at once.
    """

    def __init__(
        self,
        clock_ms: Callable[[], int] = wall_clock_ms,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._clock_ms = clock_ms
        self._random_bits = random_bits
        self._last_ms = -1
        self._counter = 0

    def mint(self) -> UUID:
        """The next id."""
        now = self._clock_ms()
        if now > self._last_ms or now < self._last_ms - _LONGEST_STEP_BACK_MS:
            self._begin(now)
        elif self._counter == (1 << _COUNTER_BITS) - 1:
            self._begin(self._last_ms + 1)
        else:
            self._counter += 1
        return UUID(
            int=self._last_ms << 80
            | _VERSION_7
            | self._counter << 64
            | _VARIANT
            | self._random_bits(_RANDOM_BITS)
        )

    def _begin(self, millisecond: int) -> None:
        """Starts a millisecond low enough in its counter that at least half of it is left."""
        self._last_ms = millisecond
        self._counter = self._random_bits(_COUNTER_BITS - 1)


def derived_id(occurred_at: datetime, source_id: str) -> UUID:
    """The UUID of version 8 that stands for a source's own time and id: the same again for the same two.

    For importers: what is imported twice is there once. A time before 1970 is set to 1970 in the id; Reverie
    refuses ids whose time lies ahead of its clock, so give it 1970 also for what is still to come.
    """
    microseconds = (occurred_at - _EPOCH) // timedelta(microseconds=1)
    milliseconds = max(0, (occurred_at - _EPOCH) // _MILLISECOND)
    source = f"{microseconds}\0{source_id}".encode("utf-8", "surrogatepass")
    digest = int.from_bytes(hashlib.sha256(_DERIVATION + source).digest()[:10], "big")
    high, low = (digest >> 62) & 0xFFF, digest & ((1 << _RANDOM_BITS) - 1)
    return UUID(int=milliseconds << 80 | _VERSION_8 | high << 64 | _VARIANT | low)
