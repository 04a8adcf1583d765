import json
import re
from typing import Any

import asyncpg
import pytest
import structlog

from services.runtime import telemetry
from services.runtime.telemetry import Counter, Gauge, Histogram, configure_logging, render


@pytest.fixture
def logging_restored() -> Any:
    yield
    structlog.reset_defaults()


def test_a_counter_adds_up_by_label() -> None:
    counter = Counter("calls_total", "Calls", ("method", "reason"))
    counter.add(1, "a", "OK")
    counter.add(2, "a", "OK")
    counter.add(1, "b", 'x"\\\n')
    assert counter.value("a", "OK") == 3
    assert render([counter]) == (
        "# HELP calls_total Calls\n# TYPE calls_total counter\n"
        'calls_total{method="a",reason="OK"} 3\n'
        'calls_total{method="b",reason="x\\"\\\\\\n"} 1\n'
    )


def test_a_gauge_is_what_it_was_set_to() -> None:
    gauge = Gauge("due", "Due")
    gauge.set(5)
    gauge.set(2.5)
    assert render([gauge]).splitlines()[1:] == ["# TYPE due gauge", "due 2.5"]


def test_a_histogram_counts_each_bucket_with_those_below() -> None:
    histogram = Histogram("rows", "Rows", (1, 10), label="sort")
    for number in (1, 2, 10, 11):
        histogram.observe(number, "bulk")
    assert list(histogram.lines()) == [
        'rows_bucket{sort="bulk",le="1"} 1',
        'rows_bucket{sort="bulk",le="10"} 3',
        'rows_bucket{sort="bulk",le="+Inf"} 4',
        'rows_sum{sort="bulk"} 24',
        'rows_count{sort="bulk"} 4',
    ]


def test_bounds_rise() -> None:
    for bounds in (telemetry.SECONDS, telemetry.SIZES):
        assert list(bounds) == sorted(set(bounds))


def test_a_line_is_json_with_the_traceback(capsys: pytest.CaptureFixture[str], logging_restored: Any) -> None:
    configure_logging("info")
    log = structlog.get_logger("test")
    log.debug("not seen")
    log.error("seen", exc_info=ValueError("broken"), instance="ingest-a-0")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["instance"]) == ("seen", "error", "ingest-a-0")
    assert said["exception"][0]["exc_value"] == "broken"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", said["timestamp"])


def test_a_traceback_shows_neither_secrets_nor_memories(
    capsys: pytest.CaptureFixture[str], logging_restored: Any
) -> None:
    def fails(password: str) -> None:
        raised = asyncpg.CheckViolationError("row is refused")
        raised.detail = "Failing row contains (I adopted a cat)."
        raise raised

    configure_logging("info")
    try:
        fails("hunter2")
    except asyncpg.PostgresError as failure:
        both = ExceptionGroup("both", [failure])
        structlog.get_logger("test").error("one", exc_info=failure)
        structlog.get_logger("test").error("in a group", exc_info=both)
    said = capsys.readouterr().err
    assert said.count("CheckViolationError") == 2
    assert '"name": "fails"' in said
    assert "hunter2" not in said
    assert "adopted" not in said
