from pathlib import Path

from ops.drills import report
from ops.drills.record import Record, Verdict
from tests.unit.drills.records import FINE, record

FAILED = record(
    seed=8,
    verdict=Verdict.FAIL,
    lost=2,
    recovered_seconds=None,
    broken=("lost is 2, and was to be at most 0",),
)


def test_a_record_survives_its_json() -> None:
    assert Record.of_json(FAILED.to_json()) == FAILED
    assert Record.of_json(FINE.to_json()) == FINE


def test_an_entry_says_what_was_done_what_happened_how_long_and_what_was_lost() -> None:
    page = report.render({("kill-service", 3): [FINE, record(seed=8, detected_seconds=0.1)]})
    assert "## kill-service in three zones" in page
    assert "Run twice at 0123456789ab: it held each time." in page
    assert "* **What was done:** storage-b-0 killed by SIGKILL (twice)." in page
    assert "noticed by the mesh after 0.08 s (0.10 s at most); all was well again after 2.50 s" in page
    assert "none of 4,400 calls failed; the longest time without an answer was 0.12 s" in page
    assert "* **What was lost:** nothing, of 4,400 acknowledged calls." in page


def test_a_run_that_contradicts_its_hypothesis_stands_in_the_notebook() -> None:
    page = report.render({("kill-service", 3): [FINE, FAILED]})
    assert "Run twice at 0123456789ab: it held once." in page
    assert "* **Seed 8 contradicts it:** lost is 2, and was to be at most 0." in page
    assert "2 lost, of 4,400 acknowledged calls" in page


def test_a_restart_that_stopped_half_way_counts_whom_it_reached() -> None:
    proof = {"restarted": {"postgres": [10, 20], "storage-a-0": [11, 21], "storage-b-0": [12, 12]}}
    assert [*report.deeds(proof)] == ["2 processes restarted"]


def test_what_nobody_could_count_is_not_called_nothing() -> None:
    page = report.render({("kill-service", 3): [record(lost=None, broken=("can't be read back",))]})
    assert "* **What was lost:** not known" in page


def test_new_records_take_the_place_of_the_old_ones_of_their_drill_and_form(tmp_path: Path) -> None:
    other = record(drill="kill-edge", seed=1)
    report.publish([FAILED, other], tmp_path)
    page = report.publish([FINE], tmp_path)
    kept = [Record.of_json(line) for line in (tmp_path / "drills.jsonl").read_text().splitlines()]
    assert kept == [other, FINE]
    assert page == tmp_path / "drills.md"
    assert "contradicts" not in page.read_text()
