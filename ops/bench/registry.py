"""The table of benches. Each is a module of this package, imported when it is run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import cast

from ops.bench.record import Record
from ops.local.embedders import Embedder


@dataclass(frozen=True, slots=True)
class Options:
    """How a bench is run."""

    running: bool = False
    """Whether to use the running platform of `home` in place of one of its own."""
    home: Path | None = None
    dataset: Path | None = None
    embedder: str = Embedder.MINILM
    zones: int = 1
    """Of a platform that is started for it."""


class CannotRunError(Exception):
    """Raised when a bench can't measure; says why, and what to do."""


Run = Callable[[Options], Awaitable[Record]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to be. A bench that misses it has measured all the same: it says so, and passes."""

    figure: str
    """Its name in `ratios` or `results`."""
    meaning: str
    at_most: float | None = None
    at_least: float | None = None
    at_most_in_zones: float | None = None
    """In place of `at_most` on a platform of several zones, where the floor has the same way to go."""

    def on(self, zones: int) -> "Goal":
        """The goal for a platform of so many zones."""
        if zones == 1 or self.at_most_in_zones is None:
            return self
        return replace(self, at_most=self.at_most_in_zones)

    @property
    def bound(self) -> str:
        """The goal in words."""
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"

    def is_met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        over = self.at_most is not None and value > self.at_most
        under = self.at_least is not None and value < self.at_least
        return not over and not under


@dataclass(frozen=True, slots=True)
class Bench:
    """One bench."""

    name: str
    question: str
    module: str
    goals: tuple[Goal, ...]

    def load(self) -> Run:
        """The function that runs it."""
        return cast("Run", import_module(self.module).run)


_INGEST = (
    Goal(
        "accept_vs_floor",
        "a create alone, over an echo by the same way plus its SQL run raw",
        at_most=1.4,
        at_most_in_zones=1.3,
    ),
    Goal("accept64_vs_echo", "a create over an echo by the same way, 64 of them at a time", at_most=1.15),
    Goal("batch_vs_copy", "rows a second in batches of 1,000, over one raw COPY", at_least=0.2),
    Goal("stream_vs_copy", "rows a second of one stream in frames of 100, over one raw COPY", at_least=0.25),
    Goal(
        "accept_beside_bulk",
        "a create of another user while two files are imported, over one alone",
        at_most=4.0,
    ),
)
_READ = (
    Goal(
        "point_read_vs_floor",
        "getting one memory, over an echo plus its SQL run raw",
        at_most=1.3,
        at_most_in_zones=1.25,
    ),
    Goal(
        "timeline_vs_floor",
        "a page of 50, over an echo of that size plus its SQL run raw",
        at_most=1.3,
        at_most_in_zones=1.25,
    ),
    Goal(
        "search_vs_scan_1k",
        "a search less its embedding, over an exact scan in SQL: 1,000 memories",
        at_most=2.5,
    ),
    Goal("search_vs_scan_20k", "the same among 20,000 memories", at_most=0.8),
    Goal("cold_search_vs_scan_20k", "the same with nothing of the owner in memory", at_most=4.0),
)
_RETRIEVAL = (
    Goal("any_at_10", "questions with any of their memories among the first 10, in percent", at_least=88.0),
    Goal("all_at_20", "questions with all of their memories among the first 20, in percent", at_least=81.5),
)

BENCHES: tuple[Bench, ...] = (
    Bench(
        "ingest",
        "What does a write cost over its floor, a stream over a raw COPY, and a create beside imports?",
        "ops.bench.ingest",
        _INGEST,
    ),
    Bench(
        "read", "What does a read cost over its floor, and a search over a raw scan?", "ops.bench.read", _READ
    ),
    Bench(
        "retrieval",
        "How often are the memories that answer a question among the first?",
        "ops.bench.retrieval",
        _RETRIEVAL,
    ),
)
