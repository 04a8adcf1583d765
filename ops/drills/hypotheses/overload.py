"""Far more is asked than can be answered. What is taken in is answered as usual, the rest refused at once."""

from ops.drills.drill import Drill
from ops.drills.hypothesis import Limit, recovered_within
from ops.drills.load import Traffic
from ops.drills.overload import SLOWER, TIMES, Overload

_AT_MOST = 2
_LIMITS = (
    Limit(
        SLOWER, f"95 % of the accepted calls take at most {_AT_MOST} times as long as usual", at_most=_AT_MOST
    ),
    recovered_within(5, "of its end"),
)

DRILL = Drill(
    name="overload",
    when=f"{TIMES} times the capacity in calls arrives, by clients who repeat nothing",
    fault=Overload,
    then={1: _LIMITS, 3: _LIMITS},
    traffic=Traffic(rate=60, users=4),
)
