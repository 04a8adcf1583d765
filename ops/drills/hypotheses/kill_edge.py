"""An edge dies. Clients that called by it go on by the next one."""

from ops.drills.drill import Drill
from ops.drills.faults import Killed
from ops.drills.hypothesis import a_gap_of_at_most, recovered_within
from ops.drills.scene import EDGE

DRILL = Drill(
    name="kill-edge",
    when="one edge is killed",
    fault=lambda scene: Killed(scene, [scene.one_of(scene.of(EDGE))]),
    then={
        1: (recovered_within(15),),
        3: (a_gap_of_at_most(1), recovered_within(15)),
    },
)
