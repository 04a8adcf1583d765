"""The proxy beside a service dies, and with it every connection to that service and from it."""

from ops.drills.drill import Drill
from ops.drills.faults import Killed
from ops.drills.hypothesis import a_gap_of_at_most, no_call_fails, recovered_within

DRILL = Drill(
    name="kill-sidecar",
    when="the proxy beside one service is killed",
    fault=lambda scene: Killed(scene, [scene.one_of(scene.sidecars())]),
    then={
        1: (recovered_within(15),),
        3: (no_call_fails(), a_gap_of_at_most(1), recovered_within(15)),
    },
)
