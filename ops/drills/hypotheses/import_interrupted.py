"""What an import goes through dies in the middle of it. It goes on elsewhere, nearly as fast. Two of them."""

from ops.drills.drill import Drill
from ops.drills.hypothesis import Limit, recovered_within
from ops.drills.imports import IMPORTED, RATE, Interrupted
from ops.drills.load import Traffic

_SIZE = 100_000
_UNDISTURBED = 40_000
_LEAST = 0.7

DRILL = Drill(
    name="import-interrupted",
    when=f"an edge, an ingest and a storage are killed in the middle of each import of {_SIZE:,} memories",
    fault=lambda scene: Interrupted(scene, _SIZE, _UNDISTURBED),
    then={
        3: (
            Limit(IMPORTED, "every memory is acknowledged", at_least=1),
            Limit(RATE, f"the imports are at least {_LEAST:g} times as fast as undisturbed", at_least=_LEAST),
            recovered_within(120),
        )
    },
    traffic=Traffic(rate=40, users=3),
)
