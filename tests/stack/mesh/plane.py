"""The control plane, as `python -m mesh` runs it, over the tests' own catalog."""

from mesh.__main__ import main
from mesh.config import MeshConfig
from services.runtime.process import run
from services.runtime.telemetry import configure_logging
from tests.stack.mesh.table import TABLE

if __name__ == "__main__":
    configure_logging("info")
    run(main(MeshConfig(), TABLE))  # type: ignore[call-arg]
