"""The steady state: a fault befalls a load that runs evenly, so that what fails then fails by the fault."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from ops.drills import measure
from ops.drills.drill import CannotRunError, Pace
from ops.drills.load import Load
from ops.drills.measure import Window
from services.runtime.clock import MonotonicClock

_PAUSE = 0.05
_CHECK_PAUSE = 0.25


async def until_steady(
    working: Load, rate: float, pace: Pace, say: Callable[[str], None], clock: MonotonicClock
) -> Window:
    """The time, until now, in which calls at this rate were answered promptly: as long as `pace.before`.

    CannotRunError if there is none within `pace.even_within`.
    """
    deadline = clock() + pace.even_within.total_seconds()
    while True:
        await _until_even(working, rate, deadline, clock)
        begun = clock()
        await quiet(working, pace.before, clock)
        if measure.is_even(working.calls, rate, clock(), pace.before.total_seconds()):
            return Window(begun, clock())
        say("calls are not answered promptly, with nothing broken yet: waiting until they are")


async def quiet(working: Load, duration: timedelta, clock: MonotonicClock) -> None:
    """Lets the load run, and raises what ends it."""
    end = clock() + duration.total_seconds()
    while (left := end - clock()) > 0:
        working.check()
        await asyncio.sleep(min(left, _CHECK_PAUSE))


async def _until_even(working: Load, rate: float, deadline: float, clock: MonotonicClock) -> None:
    while not measure.is_even(working.calls, rate, clock()):
        working.check()
        if clock() > deadline:
            raise CannotRunError(
                f"{rate:g} calls/s are not answered promptly, with nothing broken yet: is the machine busy, "
                "or too slow for them? see `reverie status`"
            )
        await asyncio.sleep(_PAUSE)
