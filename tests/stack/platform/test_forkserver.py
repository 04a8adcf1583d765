"""What is promised of processes that are copies of one that has loaded their modules."""

import json
import os
import signal
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ops.local import leftovers, procfs
from ops.local.forkserver import Request, answers, ask
from ops.local.home import Home
from ops.local.plan import FORKSERVER, fork_socket
from ops.local.platform import Platform
from tests.stack.platform.standin import MODULE
from tests.stack.platform.supervised import Start, came_back, is_ready, known
from tests.stack.platform.waiting import until

SERVER = f"{FORKSERVER}=forkserver"


def title(pid: int) -> str:
    """What `ps` shows of a process."""
    return (procfs.PROC / str(pid) / "cmdline").read_text().replace("\0", " ").strip()


async def running(home: Home, start: Start) -> Platform:
    """A fork server and one copy."""
    start(SERVER, "a=module")
    await is_ready(home)
    return Platform(home)


def told(home: Home, name: str) -> list[dict[str, Any]]:
    """What each life of a module has said of itself."""
    return [json.loads(line) for line in home.log_of(name).read_text().splitlines() if line.startswith("{")]


def are_copies(home: Home, name: str) -> list[bool]:
    """Whether each life was one of the fork server's."""
    return [life["copy"] for life in told(home, name)]


async def test_a_copy_is_prepared_and_in_the_surroundings_of_a_process_that_was_started_alone(
    home: Home, start: Start
) -> None:
    platform = await running(home, start)
    await platform.stop_process(FORKSERVER)
    await came_back(home, "a", platform.kill("a"))
    copy, alone = told(home, "a")
    assert (copy.pop("copy"), alone.pop("copy")) == (True, False)
    assert (copy.pop("prepared"), alone.pop("prepared")) == ([True], [])
    assert copy == alone
    assert (copy["directory"], copy["session"], copy["collects"]) == (str(home.run), True, True)
    assert "made without the fork server: " in home.log_of("a").read_text()


async def test_a_copy_is_its_supervisor_s_child_and_looks_like_what_it_runs(home: Home, start: Start) -> None:
    supervisor = start(SERVER, "a=module")
    await is_ready(home)
    pids = Platform(home).processes()
    assert are_copies(home, "a") == [True]
    assert procfs.parents()[pids["a"]] == supervisor.pid
    assert title(pids["a"]).endswith(f" -m {MODULE}")
    assert title(pids[FORKSERVER]) != title(pids["a"])


async def test_copies_die_with_their_supervisor(home: Home, start: Start) -> None:
    supervisor = start(SERVER, "a=module", "b=module")
    await is_ready(home)
    assert are_copies(home, "a") == are_copies(home, "b") == [True]
    assert len(leftovers.remaining(home)) == 3
    supervisor.kill()
    await until(lambda: not leftovers.remaining(home))


async def test_a_copy_that_is_killed_comes_back_and_is_counted(home: Home, start: Start) -> None:
    platform = await running(home, start)
    await came_back(home, "a", platform.kill("a"))
    assert (known(home, "a").restarts, known(home, "a").reason) == (1, "killed by SIGKILL")
    assert are_copies(home, "a") == [True, True]


async def test_the_end_of_the_fork_server_is_the_end_of_nothing_else(home: Home, start: Start) -> None:
    platform = await running(home, start)
    before = platform.processes()
    await came_back(home, FORKSERVER, platform.kill(FORKSERVER))
    assert platform.processes()["a"] == before["a"]
    await came_back(home, "a", platform.kill("a"))
    assert are_copies(home, "a") == [True, True]


async def test_a_copy_that_comes_too_late_ends_and_a_silent_fork_server_is_left_alone(
    home: Home, start: Start
) -> None:
    platform = await running(home, start)
    server = platform.processes()[FORKSERVER]
    os.kill(server, signal.SIGSTOP)
    await came_back(home, "a", platform.kill("a"))
    os.kill(server, signal.SIGCONT)
    # It takes one after the other: once it answers this, the late copy has been made.
    assert answers(fork_socket(home))
    await until(lambda: len(leftovers.remaining(home)) == 2)
    await came_back(home, "a", platform.kill("a"))
    assert are_copies(home, "a") == [True, False, False]


async def test_what_makes_no_sense_does_not_end_the_fork_server(home: Home, start: Start) -> None:
    platform = await running(home, start)
    server = platform.processes()[FORKSERVER]
    for packet in (b"", b"{", b"[]", b'{"module": "a"}', json.dumps(asdict(Request("a", {}, "/"))).encode()):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(fork_socket(home)))
            connection.send(packet)
            assert connection.recv(100) == b""
    assert answers(fork_socket(home))
    assert platform.processes()[FORKSERVER] == server


def test_who_asks_where_nobody_listens_hears_of_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log, pytest.raises(OSError, match="No such file"):
        ask(tmp_path / "fork.sock", Request(MODULE, {}, str(tmp_path)), log.fileno())
