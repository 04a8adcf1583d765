"""The control plane dies. Proxies keep what they have."""

from ops.drills.drill import Drill
from ops.drills.faults import Killed
from ops.drills.hypothesis import a_gap_of_at_most, no_call_fails, recovered_within
from ops.drills.scene import MESH

_LIMITS = (no_call_fails(), a_gap_of_at_most(1), recovered_within(20))

DRILL = Drill(
    name="kill-control-plane",
    when="every control plane of the mesh is killed at once",
    fault=lambda scene: Killed(scene, scene.of(MESH)),
    then={1: _LIMITS, 3: _LIMITS},
)
