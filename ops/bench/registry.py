"""The table of benches. Each is a module of this package, imported when it is run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from ops.bench.record import Record


@dataclass(frozen=True, slots=True)
class Options:
    """How a bench is run."""

    running: bool = False
    """Whether to use the running platform of `home` in place of one of its own."""
    home: Path | None = None
    dataset: Path | None = None
    embedder: str = "minilm"


class CannotRunError(Exception):
    """Raised when a bench can't measure; says why, and what to do."""


Run = Callable[[Options], Awaitable[Record]]


@dataclass(frozen=True, slots=True)
class Bench:
    """One bench."""

    name: str
    question: str
    module: str

    def load(self) -> Run:
        """The function that runs it."""
        return cast("Run", import_module(self.module).run)


BENCHES: tuple[Bench, ...] = (
    Bench(
        "ingest", "What does a write cost over its floor, and a batch over a raw COPY?", "ops.bench.ingest"
    ),
    Bench("read", "What does a read cost over its floor, and a search over a raw scan?", "ops.bench.read"),
    Bench(
        "retrieval",
        "How often are the memories that answer a question among the first?",
        "ops.bench.retrieval",
    ),
)
