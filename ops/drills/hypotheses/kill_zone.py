"""A zone is lost at one blow, with its edge and all that it serves; not the one that holds the database."""

from datetime import timedelta

from ops.drills.drill import Drill
from ops.drills.faults import Fault, ZoneKilled
from ops.drills.hypothesis import a_gap_of_at_most, recovered_within
from ops.drills.scene import Scene
from ops.local.plan import ZONE

_FOR = timedelta(seconds=5)


def _any_but_the_databases(scene: Scene) -> Fault:
    return ZoneKilled(scene, scene.one_of([zone for zone in scene.zones if zone != ZONE]))


DRILL = Drill(
    name="kill-zone",
    when=f"every process of a zone is killed and stays down for {_FOR.seconds} s",
    fault=_any_but_the_databases,
    then={3: (a_gap_of_at_most(1), recovered_within(60))},
    holds=_FOR,
)
