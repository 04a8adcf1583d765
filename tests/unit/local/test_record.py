import os
from pathlib import Path

import pytest

from ops.local import procfs, record
from ops.local.lifecycle import Phase
from ops.local.procfs import ProcessId
from ops.local.record import ProcessRecord, Record, Stage

_me = procfs.identify(os.getpid())
assert _me is not None
ME: ProcessId = _me
SOMEBODY_EARLIER = ProcessId(os.getpid(), ME.began - 1, ME.boot)
BEFORE_THE_BOOT = ProcessId(os.getpid(), ME.began, "another boot")


def processes(**phases: tuple[Phase, float, str]) -> dict[str, ProcessRecord]:
    return {name: ProcessRecord(phase, at=at, reason=reason) for name, (phase, at, reason) in phases.items()}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = Record(
        ME,
        Stage.READY,
        at=3.5,
        failure="no",
        culprit="postgres",
        processes={
            "postgres": ProcessRecord(Phase.READY, 1.25, restarts=2, reason="killed by SIGKILL", id=ME),
            "migrate": ProcessRecord(Phase.DONE, 2.0),
        },
    )
    record.dump(written, tmp_path / "state.json")
    assert record.load(tmp_path / "state.json") == written


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"supervisor": {}}', '{"supervisor": 1, "stage": "x"}']
)
def test_a_damaged_record_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert record.load(tmp_path / "state.json") is None
    assert record.load(tmp_path / "nothing") is None


def test_a_number_that_came_again_is_nobody_we_know() -> None:
    known = {"me": ME, "earlier": SOMEBODY_EARLIER, "rebooted": BEFORE_THE_BOOT, "none": None}
    found = Record(ME, processes={name: ProcessRecord(Phase.READY, 0, id=one) for name, one in known.items()})
    assert found.alive == {"me": ME}


def test_progress_tells_each_change_once() -> None:
    old = Record(ME, processes=processes(a=(Phase.READY, 1.0, ""), b=(Phase.STARTING, 1.0, "")))
    new = Record(
        ME, processes=processes(a=(Phase.BACKOFF, 2.0, "killed by SIGKILL"), b=(Phase.READY, 2.5, ""))
    )
    assert list(record.progress(old, new)) == [
        "   2.0 s  a killed by SIGKILL; it is started again",
        "   2.5 s  b is ready",
    ]
    assert list(record.progress(new, new)) == []
