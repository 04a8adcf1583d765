"""Time as a parameter."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

WallClock = Callable[[], datetime]
"""Tells the time of day, with UTC as its zone."""

MonotonicClock = Callable[[], float]
"""Tells seconds since some instant; never steps back."""


def utc_now() -> datetime:
    """The time of day by this machine's clock."""
    return datetime.now(UTC)


monotonic: MonotonicClock = time.monotonic
