"""A worker steps back behind every process, not only behind its own threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.analyse import background

AUTOGROUP = Path("/proc/self/autogroup")
PROGRAM = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from services.analyse.background import step_back
with ThreadPoolExecutor(1, "stage", step_back, (int(sys.argv[1]),)) as thread:
    print(thread.submit(os.sched_getscheduler, 0).result(), os.sched_getscheduler(0))
print(Path("/proc/self/autogroup").read_text())
"""


def process_after(niceness: int, *, of_its_own: bool) -> tuple[str, str]:
    """The policies of the thread that stepped back and of the first one, and the process's autogroup.

    The last is empty in a process that no session has been made for since the machine started.
    """
    command = [sys.executable, "-c", PROGRAM, str(niceness)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run(
        command, env=environment, start_new_session=of_its_own, capture_output=True, check=True, text=True
    )
    policies, _, autogroup = run.stdout.partition("\n")
    return policies, autogroup.strip()


def session_after(*, of_its_own: bool) -> str:
    return process_after(7, of_its_own=of_its_own)[1]


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
def test_whoever_wakes_up_for_a_call_need_not_wait_for_a_thread_that_stepped_back() -> None:
    assert process_after(7, of_its_own=True)[0] == f"{os.SCHED_IDLE} {os.SCHED_OTHER}"
    assert process_after(0, of_its_own=True)[0] == f"{os.SCHED_OTHER} {os.SCHED_OTHER}"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
def test_a_process_with_a_session_of_its_own_steps_back_behind_all_others() -> None:
    assert session_after(of_its_own=True).endswith("nice 7")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
def test_a_session_of_others_stays_where_it_was() -> None:
    before = AUTOGROUP.read_text().strip()
    assert session_after(of_its_own=False) == before


def test_a_kernel_that_will_not_have_it_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_AUTOGROUP", Path("/proc/self/no-such-file"))
    monkeypatch.setattr(os, "getsid", lambda _pid: os.getpid())
    monkeypatch.setattr(os, "nice", lambda _niceness: None)
    background.step_back(1)
