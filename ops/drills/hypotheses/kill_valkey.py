"""A node of Valkey dies. It holds hints alone, so no caller notices."""

from ops.drills.drill import Drill
from ops.drills.faults import Killed
from ops.drills.hypothesis import a_gap_of_at_most, no_call_fails, recovered_within
from ops.drills.scene import VALKEY

_LIMITS = (no_call_fails(), a_gap_of_at_most(1), recovered_within(30))

DRILL = Drill(
    name="kill-valkey",
    when="one node of Valkey is killed",
    fault=lambda scene: Killed(scene, [scene.one_of(scene.of(VALKEY))]),
    then={1: _LIMITS, 3: _LIMITS},
)
