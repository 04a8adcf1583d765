"""What is promised of processes that are copies of one that has loaded their modules."""

import json
import os
import signal
from pathlib import Path

import pytest

from ops.local import leftovers, procfs
from ops.local.forkserver import Request, ask
from ops.local.home import Home
from ops.local.lifecycle import Phase
from ops.local.plan import FORKSERVER
from ops.local.platform import Platform
from ops.local.record import ProcessRecord
from ops.local.spawn import MARK
from tests.stack.platform.standin import MODULE
from tests.stack.platform.supervised import Start, is_ready, last
from tests.stack.platform.waiting import until

SERVER = f"{FORKSERVER}=forkserver"


def known(home: Home, name: str) -> ProcessRecord:
    """A process as its supervisor knows it."""
    return last(home).processes[name]


def title(pid: int) -> str:
    """What `ps` shows of a process."""
    return (procfs.PROC / str(pid) / "cmdline").read_text().replace("\0", " ").strip()


async def came_back(home: Home, name: str, before: int) -> None:
    """Waits until a process runs that is not the one of before."""
    platform = Platform(home)
    await until(lambda: platform.processes().get(name, before) != before)
    await until(lambda: known(home, name).phase is Phase.READY)


async def test_a_copy_has_the_surroundings_of_a_process_of_its_own(home: Home, start: Start) -> None:
    start(SERVER, "a=module")
    await is_ready(home)
    told = json.loads(home.log_of("a").read_text())
    assert {MARK, "FLAG"} <= set(told.pop("environment"))
    assert told == {"argv": [], "collects": True, "directory": str(home.run), "session": True}


async def test_a_copy_sees_nothing_of_the_fork_server_s_environment(home: Home, start: Start) -> None:
    start(SERVER, "a=module")
    await is_ready(home)
    assert "SPT_NOENV" not in json.loads(home.log_of("a").read_text())["environment"]


async def test_a_copy_is_its_supervisor_s_child_and_looks_like_what_it_runs(home: Home, start: Start) -> None:
    supervisor = start(SERVER, "a=module")
    await is_ready(home)
    pids = Platform(home).processes()
    assert procfs.parents()[pids["a"]] == supervisor.pid
    assert title(pids["a"]).endswith(f" -m {MODULE}")
    assert title(pids[FORKSERVER]) != title(pids["a"])


async def test_copies_die_with_their_supervisor(home: Home, start: Start) -> None:
    supervisor = start(SERVER, "a=module", "b=module")
    await is_ready(home)
    assert len(leftovers.remaining(home)) == 3
    supervisor.kill()
    await until(lambda: not leftovers.remaining(home))


async def test_a_copy_that_is_killed_comes_back_and_is_counted(home: Home, start: Start) -> None:
    start(SERVER, "a=module")
    await is_ready(home)
    await came_back(home, "a", Platform(home).kill("a"))
    assert (known(home, "a").restarts, known(home, "a").reason) == (1, "killed by SIGKILL")


async def test_the_end_of_the_fork_server_is_the_end_of_nothing_else(home: Home, start: Start) -> None:
    start(SERVER, "a=module")
    await is_ready(home)
    platform = Platform(home)
    before = platform.processes()
    await came_back(home, FORKSERVER, platform.kill(FORKSERVER))
    assert platform.processes()["a"] == before["a"]
    await came_back(home, "a", platform.kill("a"))


async def test_without_a_fork_server_a_service_starts_all_the_same(home: Home, start: Start) -> None:
    start(SERVER, "a=module")
    await is_ready(home)
    platform = Platform(home)
    await platform.stop_process(FORKSERVER)
    await came_back(home, "a", platform.kill("a"))
    await platform.start_process(FORKSERVER)


async def test_a_copy_that_comes_too_late_does_not_stay(home: Home, start: Start) -> None:
    start(SERVER, "a=module")
    await is_ready(home)
    platform = Platform(home)
    server = platform.processes()[FORKSERVER]
    os.kill(server, signal.SIGSTOP)
    await came_back(home, "a", platform.kill("a"))
    os.kill(server, signal.SIGCONT)
    # It has made the late one by the time at which it has made another.
    await came_back(home, "a", platform.kill("a"))
    await until(lambda: len(leftovers.remaining(home)) == 2)


def test_who_asks_where_nobody_listens_hears_of_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log, pytest.raises(OSError, match="No such file"):
        ask(tmp_path / "fork.sock", Request(MODULE, {}, str(tmp_path)), log.fileno())
