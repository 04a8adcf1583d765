"""A worker dies. No caller waits for it, so none notices."""

from ops.drills.drill import Drill
from ops.drills.faults import Killed
from ops.drills.hypothesis import a_gap_of_at_most, no_call_fails, recovered_within

_LIMITS = (no_call_fails(), a_gap_of_at_most(1), recovered_within(20))

DRILL = Drill(
    name="kill-worker",
    when="one process of analyse is killed",
    fault=lambda scene: Killed(scene, [scene.one_of(scene.of("analyse"))]),
    then={1: _LIMITS, 3: _LIMITS},
)
