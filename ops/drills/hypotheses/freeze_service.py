"""A process of a service stops in its tracks: it holds its connections and answers nobody."""

from datetime import timedelta

from ops.drills.drill import Drill
from ops.drills.faults import Frozen
from ops.drills.hypothesis import a_gap_of_at_most, no_call_fails, recovered_within

_FOR = timedelta(seconds=6)

DRILL = Drill(
    name="freeze-service",
    when=f"one process of ingest, query or storage is frozen for {_FOR.seconds} s",
    fault=lambda scene: Frozen(scene, [scene.one_of(scene.of("ingest", "query", "storage"))]),
    then={
        1: (recovered_within(30),),
        3: (no_call_fails(), a_gap_of_at_most(1), recovered_within(30)),
    },
    holds=_FOR,
)
