"""Waits until what was taken in is analysed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ops.cli.failures import CommandError
from reverie_client import AnalysisState

PATIENCE = 120.0
"""Seconds without any progress after which something is wrong."""
_PAUSE = 0.2

Ask = Callable[[], Awaitable[AnalysisState]]


@dataclass(slots=True)
class Backlog:
    """How the backlog shrinks. Pure; times are seconds of a monotonic clock."""

    since: float
    at_first: int = 0
    least: int | None = None

    def is_stuck(self, due: int, now: float) -> bool:
        """Takes note of how much is due; whether nothing has been done for too long."""
        self.at_first = max(self.at_first, due)
        if self.least is None or due < self.least:
            self.least, self.since = due, now
        return now - self.since > PATIENCE


async def until_analysed(
    asks: Sequence[Ask],
    show: Callable[[int, int], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> int:
    """Returns when nothing is due any more: how many analyses were given up for good.

    CommandError when the backlog does not shrink.
    """
    backlog = Backlog(clock())
    while True:
        states = [await ask() for ask in asks]
        due = sum(state.due for state in states)
        stuck = backlog.is_stuck(due, clock())
        show(due, backlog.at_first)
        if due == 0:
            return sum(state.dead for state in states)
        if stuck:
            raise CommandError(
                f"{due:,} analyses are due and none was done for {PATIENCE:.0f} s: "
                "see `reverie status` and `reverie logs analyse`"
            )
        await sleep(_PAUSE)
