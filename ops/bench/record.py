"""What a bench prints: one JSON record, with the machine it ran on."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that a figure was measured on."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str

    @staticmethod
    def this() -> "Machine":
        """The machine that this process runs on; cores are those that it may use."""
        return Machine(
            cpu=_cpu_model(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            kernel=platform.release(),
        )


def commit_id() -> str:
    """The revision of the checkout that runs, with `+` where files differ; `unknown` outside of git."""
    root = Path(__file__).resolve().parents[2]
    try:
        return _git(root, "rev-parse", "--short=12", "HEAD") + (
            "+" if _git(root, "status", "--porcelain") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one bench. Latencies are milliseconds, ratios have no unit."""

    bench: str
    results: dict[str, Any]
    ratios: dict[str, float] = field(default_factory=dict)
    zones: int = 1
    commit: str = field(default_factory=commit_id)
    machine: Machine = field(default_factory=Machine.this)

    def to_json(self) -> str:
        """The record as one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def of_json(line: str) -> "Record":
        """The inverse of `to_json`."""
        value = json.loads(line)
        return Record(**{**value, "machine": Machine(**value["machine"])})


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
