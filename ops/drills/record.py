"""What a drill prints: one JSON record a line. None stands for what a drill does not measure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ops.bench.record import commit_id


class Verdict(StrEnum):
    """Whether the hypothesis held."""

    PASS = "pass"  # noqa: S105  (not a secret)
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one drill. Durations are seconds, latencies milliseconds."""

    drill: str
    zones: int
    verdict: Verdict
    hypothesis: str
    seed: int
    proof: Mapping[str, Any]
    """What shows that the fault took place."""
    acknowledged: int = 0
    lost: int | None = None
    twice: int | None = None
    wrong: int | None = None
    resurrected: int | None = None
    stale_reads: int | None = None
    calls: int = 0
    failed_calls: int = 0
    error_share: float = 0.0
    longest_error_gap_seconds: float | None = None
    write_outage_seconds: float | None = None
    detected_seconds: float | None = None
    recovered_seconds: float | None = None
    latency_ms: Mapping[str, float] | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    """What a drill measures besides, as one thing over another."""
    broken: tuple[str, ...] = ()
    """Why it failed, in words."""
    commit: str = field(default_factory=commit_id)

    def to_json(self) -> str:
        """The record as one line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @staticmethod
    def of_json(line: str) -> "Record":
        """The inverse of `to_json`."""
        value = json.loads(line)
        value["verdict"], value["broken"] = Verdict(value["verdict"]), tuple(value["broken"])
        return Record(**value)
