"""Promises of bench records and of the page that is made of them."""

from pathlib import Path

import pytest

from ops.bench import report
from ops.bench.measure import Latency
from ops.bench.record import Machine, Record
from ops.bench.registry import BENCHES, Goal

MACHINE = Machine(cpu="a cpu", cores=2, memory_gib=23.5, kernel="6.1")


def record(bench: str, value: float, zones: int = 1) -> Record:
    """A record with this value for every goal of the bench."""
    goals = next(each.goals for each in BENCHES if each.name == bench)
    results = {"one": {"p50": 1.0, "p95": 2.0, "p99": 3.0, "calls": 10}}
    return Record(bench, results, {goal.figure: value for goal in goals}, zones, "abc", MACHINE)


@pytest.mark.parametrize("bench", [each.name for each in BENCHES])
def test_a_record_comes_back_from_its_line(bench: str) -> None:
    written = record(bench, 1.5)
    assert Record.of_json(written.to_json()) == written


def test_every_goal_is_on_the_page_with_what_was_measured(tmp_path: Path) -> None:
    page = report.publish([record("ingest", 123.25)], tmp_path).read_text()
    for goal in BENCHES[0].goals:
        assert f"| `{goal.figure}` | {goal.meaning} | {goal.bound} | 123.25 |" in page


def test_a_missed_goal_is_said_to_be_missed(tmp_path: Path) -> None:
    page = report.publish([record("ingest", 1000.0)], tmp_path).read_text()
    assert "**missed**" in page
    assert "| met |" in page  # batch_vs_copy is a least


def test_a_bench_run_again_replaces_its_own_record_alone(tmp_path: Path) -> None:
    report.publish([record("ingest", 1.0), record("read", 2.0)], tmp_path)
    page = report.publish([record("ingest", 7.0)], tmp_path).read_text()
    assert page.count("\n## ") == 2
    assert "| 7 |" in page
    assert "| 2 |" in page


def test_one_zone_and_three_stand_beside_each_other_each_with_goals_of_its_own(tmp_path: Path) -> None:
    report.publish([record("read", 1.28), record("read", 1.27, zones=3)], tmp_path)
    page = report.publish([record("read", 1.29)], tmp_path).read_text()
    assert page.count("\n## ") == 1
    assert "`reverie bench read` at abc" in page
    assert "`reverie bench read --zones 3` at abc" in page
    timeline = [line for line in page.splitlines() if line.startswith("| `timeline_vs_floor`")]
    assert [line.split("|")[-4:-1] for line in timeline] == [
        [" <= 1.3 ", " 1.29 ", " met "],
        [" <= 1.25 ", " 1.27 ", " **missed** "],
    ]


@pytest.mark.parametrize(("value", "met"), [(1.0, True), (1.5, True), (1.51, False)])
def test_a_goal_is_met_up_to_its_bound(value: float, met: bool) -> None:
    assert Goal("x", "", at_most=1.5).is_met(value) is met
    assert Goal("x", "", at_least=-1.5).is_met(-value) is met


def test_percentiles_are_milliseconds() -> None:
    latency = Latency.of([0.001 * number for number in range(1, 101)])
    assert latency.p50 == pytest.approx(50.5)
    assert latency.calls == 100


def test_nothing_measured_is_no_latency() -> None:
    with pytest.raises(ValueError, match="no call"):
        Latency.of([])
