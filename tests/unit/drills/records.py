"""A record that contradicts nothing, to be changed."""

from dataclasses import replace
from typing import Any

from ops.drills.record import Record, Verdict

FINE = Record(
    drill="kill-service",
    zones=3,
    verdict=Verdict.PASS,
    hypothesis="Given a healthy platform, when a service is killed, then no call fails.",
    seed=7,
    proof={
        "killed": [
            {
                "process": "storage-b-0",
                "pid": 1,
                "end": "killed by SIGKILL",
                "restarts": [0, 1],
                "pid_after": 2,
            }
        ],
        "noticed_by": "mesh",
        "errors": {},
    },
    acknowledged=2200,
    lost=0,
    twice=0,
    wrong=0,
    resurrected=0,
    stale_reads=0,
    calls=2200,
    failed_calls=0,
    longest_error_gap_seconds=0.12,
    write_outage_seconds=0.2,
    detected_seconds=0.06,
    recovered_seconds=2.5,
    latency_ms={"p50": 6.0, "p99": 40.0, "max": 300.0},
    commit="0123456789ab",
)


def record(**changes: Any) -> Record:
    return replace(FINE, **changes)
