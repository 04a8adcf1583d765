"""What the README says of the services is what the catalog says."""

import re
from pathlib import Path

from ops.bench.registry import BENCHES
from services.catalog import SERVICES, callees

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ROWS = {row[0]: row for row in (re.split(r"\s*\|\s*", line.strip("| ")) for line in README.splitlines())}


def test_the_service_table_has_every_service_with_its_callees_and_objective() -> None:
    for service in SERVICES:
        _, _, calls, _, objective, *_ = ROWS[service.name]
        assert calls == (", ".join(callees(service)) or "\N{EN DASH}")
        assert objective.startswith(f"{service.objective_p95.total_seconds() * 1000:.0f} ms")


def test_every_bench_is_named() -> None:
    for bench in BENCHES:
        assert f"reverie bench {bench.name}" in README


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
