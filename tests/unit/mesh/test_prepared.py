"""What a control plane that is a copy need not do any more."""

import subprocess
import sys

_PROGRAM = """
import gc
from mesh.__main__ import prepare
from mesh.snapshot import Builder
from services.catalog import SERVICES
from tests.unit.mesh.world import topology

def worked_out():
    return {c for c in gc.get_objects() if isinstance(c, type) and c.__dict__.get("__pydantic_complete__")}

prepare()
before = worked_out()
Builder(SERVICES).build(topology("abc"), "{}", {})
print(len(before), *(found.__name__ for found in worked_out() - before))
"""


def test_a_prepared_process_knows_how_to_check_every_message_of_a_snapshot() -> None:
    # In a process of its own: in this one other tests have built snapshots.
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    known, *unknown = done.stdout.split()
    assert int(known) > 0
    assert unknown == []
