"""Who is let in: so many calls of an API at a time, and none that has waited for too long.

What comes faster than a process can take it waits before any handler runs, in gRPC's own queue, where neither
the number of handlers under way nor how long they take shows it. So the proxy in front marks each call with
the time at which it came (`ARRIVED`), by the clock of the same machine.

This is the last line. Refusing here costs nearly half of what serving does, so a crowd of applications is
kept out at the edges (mesh/resources/crowd.py).
"""

import math
from datetime import timedelta

from services.runtime.errors import Overloaded

ARRIVED = "x-reverie-arrived-at"
"""The metadata in which the process's own proxy says when a call came: microseconds since 1970."""

_SHORTEST_DELAY = 0.1
_LONGEST_DELAY = 5.0


class Admission:
    """The entrance of one API: its crowd takes no other's place."""

    def __init__(self, limit: int, patience: float = math.inf) -> None:
        """`limit`: calls under way at a time; `patience`: seconds that a call may have waited before."""
        self._limit = limit
        self._patience = patience
        self._under_way = 0

    def enter(self, waited: float = 0.0) -> None:
        """Counts a call in that has waited so many seconds; it has to leave, whatever comes of this.

        Overloaded if there is no room, or if it waited for too long: then those behind it wait less.
        """
        self._under_way += 1
        if self._under_way > self._limit or waited > self._patience:
            raise Overloaded(retry_delay=retry_delay(waited))

    def leave(self) -> None:
        """Counts a call out."""
        self._under_way -= 1


def retry_delay(waited: float) -> timedelta:
    """What a caller is told to wait who has waited so many seconds in vain: in tenths of a second.

    Long enough for all that waits to be over twice: whoever comes back then finds a shorter queue, not a
    longer one.
    """
    seconds = min(max(_SHORTEST_DELAY, 2 * waited), _LONGEST_DELAY)
    return timedelta(milliseconds=100 * math.ceil(10 * seconds - 1e-9))
