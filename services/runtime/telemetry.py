"""What a process says about itself: log lines as JSON on stderr, and numbers in Prometheus' text format.

curl --unix-socket run/ingest-a-0/stats.sock http://ingest/metrics
"""

import asyncio
import logging
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import ExcInfo

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets for durations."""

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of the buckets for numbers of things."""


def configure_logging(level: str) -> None:
    """Sends log lines of at least `level` to stderr, one JSON object a line. A process calls it once."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_Traceback()),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class _Traceback:
    """An exception and its causes as dictionaries, without what could be a secret or somebody's memory.

    So no local variables, and of a failure of the database its type only: its text can show the row.
    """

    def __init__(self) -> None:
        self._extract = ExceptionDictTransformer(show_locals=False)

    def __call__(self, exc_info: ExcInfo) -> list[dict[str, Any]]:
        stacks = self._extract(exc_info)
        _without_rows(stacks)
        return stacks


def _without_rows(stacks: list[dict[str, Any]]) -> None:
    # The driver is there if it has failed; a service without a database need not have it.
    driver = sys.modules.get("asyncpg")
    for stack in stacks:
        if hasattr(driver, stack["exc_type"]):
            del stack["exc_value"]
        for group in stack.get("exceptions", ()):
            _without_rows(group)


class Counter:
    """A number that only rises, or several told apart by the values of labels."""

    kind = "counter"

    def __init__(self, name: str, summary: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.summary = summary
        self._labels = tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, amount: float = 1, *labels: str) -> None:
        """Raises the number of these label values."""
        self._values[labels] = self._values.get(labels, 0) + amount

    def value(self, *labels: str) -> float:
        """The number of these label values so far."""
        return self._values.get(labels, 0)

    def lines(self) -> Iterator[str]:
        """The numbers in text format."""
        for values, number in self._values.items():
            yield f"{self.name}{_labelled(self._labels, values)} {number:g}"


class Gauge(Counter):
    """A number that rises and falls."""

    kind = "gauge"

    def set(self, number: float, *labels: str) -> None:
        """Replaces the number of these label values."""
        self._values[labels] = number


class Histogram:
    """How often a number fell into which bucket; told apart by one label if it has one."""

    kind = "histogram"

    def __init__(
        self, name: str, summary: str, bounds: Sequence[float] = SECONDS, label: str | None = None
    ) -> None:
        self.name = name
        self.summary = summary
        self._bounds = tuple(bounds)
        self._label = label
        self._series: dict[str, list[float]] = {}

    def observe(self, number: float, label: str = "") -> None:
        """Counts one number."""
        series = self._series.get(label)
        if series is None:
            # One count a bucket, one beyond the last, and the sum.
            series = self._series[label] = [0.0] * (len(self._bounds) + 2)
        series[bisect_left(self._bounds, number)] += 1
        series[-1] += number

    def lines(self) -> Iterator[str]:
        """The buckets in text format, each with those below it."""
        names = (self._label,) if self._label else ()
        for label, series in self._series.items():
            values = (label,) if self._label else ()
            total = 0.0
            for bound, count in zip((*self._bounds, float("inf")), series[:-1], strict=True):
                total += count
                le = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield f"{self.name}_bucket{_labelled((*names, 'le'), (*values, le))} {total:g}"
            yield f"{self.name}_sum{_labelled(names, values)} {series[-1]:g}"
            yield f"{self.name}_count{_labelled(names, values)} {total:g}"


Metric = Counter | Histogram


def render(metrics: Sequence[Metric]) -> str:
    """All of them in Prometheus' text format."""
    lines: list[str] = []
    for metric in metrics:
        lines += (
            f"# HELP {metric.name} {metric.summary}",
            f"# TYPE {metric.name} {metric.kind}",
            *metric.lines(),
        )
    return "\n".join(lines) + "\n"


async def expose(socket: Path, metrics: Callable[[], Sequence[Metric]]) -> asyncio.Server:
    """Answers every HTTP request on a Unix socket with the numbers of that moment, until it is closed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_http(render(metrics())))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Whoever asked is gone, or did not speak HTTP.
            pass
        finally:
            writer.close()

    return await asyncio.start_unix_server(answer, socket)


def _http(text: str) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


def _labelled(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
