"""A process of a service dies. Where there are others, no caller notices; alone, it is back in seconds."""

from ops.drills.drill import Drill
from ops.drills.faults import Killed
from ops.drills.hypothesis import a_gap_of_at_most, no_call_fails, recovered_within

DRILL = Drill(
    name="kill-service",
    when="one process of ingest, query or storage is killed",
    fault=lambda scene: Killed(scene, [scene.one_of(scene.of("ingest", "query", "storage"))]),
    then={
        1: (recovered_within(20),),
        3: (no_call_fails(), a_gap_of_at_most(1), recovered_within(20)),
    },
)
