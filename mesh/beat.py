"""The moments at which a process asks all whom it follows: one wake-up for all of them, not one for each.

beat = Beat(0.3)
beat.call(wake)  # once, at the next beat
"""

import asyncio
import math
from collections.abc import Callable

from services.runtime.clock import MonotonicClock, monotonic


class Beat:
    """Beats at the multiples of an interval of the machine's clock; late, never twice, if we had no turn.

    So all control planes of a machine ask at the same moments, and whoever is asked wakes up once for all of
    them: waking up is what costs, on both sides. On machines of their own they beat apart, and need not care.
    """

    def __init__(self, seconds: float, clock: MonotonicClock = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._number = 0
        self._called: list[Callable[[], None]] = []

    def call(self, back: Callable[[], None]) -> None:
        """Call back at the next beat, once; also one who does not care any more."""
        if not self._called:
            self._schedule()
        self._called.append(back)

    def _schedule(self) -> None:
        now = self._clock()
        # Timers may go off a little early: then it is not the same beat that comes next.
        self._number = max(self._number, math.floor(now / self._seconds)) + 1
        asyncio.get_running_loop().call_later(self._number * self._seconds - now, self._strike)

    def _strike(self) -> None:
        called, self._called = self._called, []
        for back in called:
            back()
