"""The database dies under load. It recovers from its log, and callers wait for it."""

from ops.drills.drill import Drill
from ops.drills.faults import Killed
from ops.drills.hypothesis import a_gap_of_at_most, recovered_within
from ops.drills.scene import DATABASE

_LIMITS = (a_gap_of_at_most(5), recovered_within(30))

DRILL = Drill(
    name="kill-postgres",
    when="the database is killed",
    fault=lambda scene: Killed(scene, [DATABASE]),
    then={1: _LIMITS, 3: _LIMITS},
)
