"""What the supervisor promises, shown with processes that only pretend to be something."""

import asyncio
import os
import signal
import socket
from datetime import timedelta

import pytest

from ops.local import control, leftovers, procfs, record
from ops.local.home import Home, HomeError, NotRunningError
from ops.local.lifecycle import Phase
from ops.local.platform import Platform
from ops.local.ports import LOOPBACK, Reservation
from ops.local.record import Record, Stage
from ops.local.zone import Zone
from tests.stack.platform.supervised import Start, came_back, is_ready, known, last
from tests.stack.platform.waiting import until


async def test_a_supervisor_that_is_killed_leaves_no_process(home: Home, start: Start) -> None:
    supervisor = start("a", "b", "c")
    await is_ready(home)
    assert len(leftovers.remaining(home)) == 3
    supervisor.kill()
    await until(lambda: not leftovers.remaining(home))


async def test_a_stopped_process_dies_with_its_supervisor_too(home: Home, start: Start) -> None:
    supervisor = start("a")
    await is_ready(home)
    os.kill(last(home).alive["a"].pid, signal.SIGSTOP)
    supervisor.kill()
    await until(lambda: not leftovers.remaining(home))


async def test_processes_stop_in_reverse_order(home: Home, start: Start) -> None:
    supervisor = start("a", "b", "c")
    await is_ready(home)
    supervisor.terminate()
    output, _ = await asyncio.to_thread(supervisor.communicate)
    assert [line.split()[2] for line in output.splitlines() if "has stopped" in line] == ["c", "b", "a"]
    assert supervisor.returncode == 0
    assert last(home).stage is Stage.STOPPED


async def test_a_process_that_does_not_listen_is_killed_after_its_grace(home: Home, start: Start) -> None:
    supervisor = start("a=deaf")
    await is_ready(home)
    supervisor.terminate()
    await asyncio.to_thread(supervisor.communicate)
    assert not leftovers.remaining(home)


async def test_a_crash_loop_ends_the_start_and_is_named(home: Home, start: Start) -> None:
    supervisor = start("a", "b=crashes", "c")
    output, _ = await asyncio.to_thread(supervisor.communicate)
    assert supervisor.returncode != 0
    found = last(home)
    assert (found.stage, found.culprit) == (Stage.FAILED, "b")
    assert found.failure == "b ended with exit code 1 (2 times in a row)"
    assert "c is ready" not in output
    assert home.log_of("b").read_text().splitlines() == ["it is broken"] * 2
    assert not leftovers.remaining(home)


async def test_a_process_that_never_gets_ready_ends_the_start(home: Home, start: Start) -> None:
    supervisor = start("a=shy")
    await asyncio.to_thread(supervisor.communicate)
    assert last(home).failure.startswith("a not ready within 1 s (2 times")


async def test_a_request_to_stop_while_starting_stops(home: Home, start: Start) -> None:
    supervisor = start("a", "b=shy")
    await until(lambda: (found := record.load(home.state)) is not None and "b" in found.alive)
    supervisor.terminate()
    await asyncio.to_thread(supervisor.communicate)
    assert supervisor.returncode == 0
    assert last(home).stage is Stage.STOPPED
    assert not leftovers.remaining(home)


async def test_one_process_is_stopped_started_and_restarted_on_request(home: Home, start: Start) -> None:
    start("a", "b")
    await is_ready(home)
    platform = Platform(home)
    before = platform.processes()
    await platform.stop_process("a")
    assert platform.processes() == {"b": before["b"]}
    await platform.start_process("a")
    again = platform.processes()
    assert again["a"] != before["a"]
    await platform.restart("b")
    assert platform.processes()["a"] == again["a"]
    assert platform.processes()["b"] != before["b"]
    assert last(home).processes["b"].restarts == 0
    with pytest.raises(HomeError, match="no process 'nobody'; there are a, b"):
        await platform.restart("nobody")
    with pytest.raises(HomeError, match="no process 'nobody'; there are a, b"):
        control.ask(home.control, "start", "nobody")


async def test_a_zone_that_is_killed_stays_dead_and_one_that_froze_is_stopped_in_order(
    home: Home, start: Start
) -> None:
    supervisor = start("x-a-0", "x-b-0", "y-b-0")
    await is_ready(home)
    platform = Platform(home)
    a, b = Zone(platform, "a"), Zone(platform, "b")
    assert set(b.kill()) == {"x-b-0", "y-b-0"}
    await until(lambda: platform.phase("x-b-0") is platform.phase("y-b-0") is Phase.STOPPED)
    assert b.kill() == {}
    a.freeze()
    a.freeze()
    await platform.stop()
    assert await asyncio.to_thread(supervisor.wait) == 0
    # Killed at the end of its grace, it would have a reason.
    assert last(home).processes["x-a-0"].reason == ""
    assert not leftovers.remaining(home)


async def test_what_is_killed_comes_back_and_is_counted(home: Home, start: Start) -> None:
    start("a", "b")
    await is_ready(home)
    platform = Platform(home)
    await came_back(home, "a", platform.kill("a"))
    assert known(home, "a").restarts == 1
    assert known(home, "a").reason == "killed by SIGKILL"


async def test_what_fails_after_the_start_is_tried_for_ever_or_at_once_on_request(
    home: Home, start: Start
) -> None:
    start("a", "b=breakable")
    await is_ready(home)
    platform = Platform(home)
    (home.run / "broken").touch()
    platform.kill("b")
    # More often than a start would bear: see the stand-ins' policy.
    await until(lambda: last(home).processes["b"].restarts >= 4)
    assert last(home).processes["b"].phase is not Phase.FAILED
    (home.run / "broken").unlink()
    await platform.restart("b")
    assert set(platform.processes()) == {"a", "b"}


async def test_a_second_supervisor_of_one_home_is_refused(home: Home, start: Start) -> None:
    start("a")
    await is_ready(home)
    before = last(home)
    second = start("a")
    output, _ = await asyncio.to_thread(second.communicate)
    assert second.returncode != 0
    assert "already runs in" in output
    assert last(home) == before


async def test_leftovers_of_a_dead_supervisor_are_ended_and_strangers_are_not(
    home: Home, start: Start
) -> None:
    start("a")
    await is_ready(home)
    left = last(home).alive["a"]
    # A record of an earlier time names this very process's number, with another start.
    me = procfs.identify(os.getpid())
    assert me is not None
    stranger = record.ProcessRecord(Phase.READY, 0, id=procfs.ProcessId(me.pid, me.began - 1, me.boot))
    found = record.changed(last(home), processes={**last(home).processes, "stranger": stranger})
    record.dump(found, home.state)
    assert await leftovers.end(home, timedelta(seconds=0.1)) == 1
    assert not left.is_alive()


async def test_nothing_runs_that_was_never_started(home: Home) -> None:
    with pytest.raises(NotRunningError):
        await Platform(home).stop()
    with pytest.raises(NotRunningError, match="start it with `reverie up`"):
        await Platform(home).status()


async def test_a_stop_while_a_start_has_only_begun_waits_for_what_it_has_to_stop(home: Home) -> None:
    supervisor = await asyncio.create_subprocess_exec("sleep", "600")
    me = procfs.identify(supervisor.pid)
    assert me is not None
    with home.lock():
        stopping = asyncio.create_task(Platform(home).stop())
        await asyncio.sleep(0)
        with pytest.raises(NotRunningError, match="is just starting: ask again"):
            await Platform(home).status()
        record.dump(Record(me), home.state)
        await asyncio.wait_for(stopping, 10)
    assert await supervisor.wait() == -signal.SIGTERM


async def test_a_reserved_port_can_be_listened_on_once_and_reserved_by_nobody_else() -> None:
    mine, others = Reservation(), Reservation()
    port = next(port for port in range(31_000, 31_900) if mine.take(port))
    assert not others.take(port)
    for _ in ("first", "started again"):
        async with await asyncio.start_server(lambda *_: None, LOOPBACK, port):
            assert not others.take(port)
            with pytest.raises(OSError, match="in use"):
                await asyncio.start_server(lambda *_: None, LOOPBACK, port)
        assert not others.take(port)
    mine.close()
    assert others.take(port)
    others.close()


async def test_connections_that_were_closed_do_not_keep_a_port_from_its_next_start() -> None:
    reservation = Reservation()
    port = next(port for port in range(31_000, 31_900) if reservation.take(port))
    async with await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        # The listener's side closes first, so the connection lingers there.
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    reservation.close()
    assert reservation.take(port)
    reservation.close()


def test_a_port_is_free_again_at_once_though_a_connection_of_its_server_lingers() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((LOOPBACK, port))
        server.accept()[0].close()
    reservation = Reservation()
    assert reservation.take(port)
    reservation.close()
    client.close()


async def test_a_port_on_which_somebody_listens_is_in_use() -> None:
    async with await asyncio.start_server(lambda *_: None, LOOPBACK, 0) as server:
        assert not Reservation().take(server.sockets[0].getsockname()[1])
