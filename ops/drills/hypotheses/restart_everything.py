"""Every process is restarted in turn, as for a new version: stopped as one should, and started again."""

from datetime import timedelta

from ops.drills.drill import Drill
from ops.drills.faults import Fault, Restarted
from ops.drills.hypothesis import a_gap_of_at_most, no_call_fails, recovered_within
from ops.drills.scene import Scene

_EACH_WITHIN = timedelta(seconds=60)
"""A machine without much room takes long to catch up with what waited; the whole has a limit of its own."""


def _every_process(scene: Scene) -> Fault:
    return Restarted(scene, scene.units(), _EACH_WITHIN)


DRILL = Drill(
    name="restart-everything",
    when="every process is stopped and started again, a service together with its proxy, "
    "the next one as soon as calls are prompt again",
    fault=_every_process,
    then={
        1: (recovered_within(120),),
        3: (no_call_fails(), a_gap_of_at_most(5), recovered_within(300)),
    },
)
