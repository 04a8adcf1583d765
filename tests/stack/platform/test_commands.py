"""The commands as a person types them, root or not."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ops.local import doctor, leftovers, userns
from ops.local.home import Home
from ops.local.plan import Options
from ops.local.platform import Platform
from ops.local.ports import Reservation
from services.catalog import SERVICES

REVERIE = (sys.executable, "-c", "from ops.cli.main import run; run()")


class Said(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


async def execute(*argv: str, home: Home) -> Said:
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={
            **os.environ,
            "REVERIE_HOME": str(home.root),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def reverie(*arguments: str, home: Home) -> Said:
    return await execute(*REVERIE, *arguments, home=home)


async def test_status_prints_the_promised_json_and_nothing_else(platform: Platform) -> None:
    await platform.wait_healthy()
    said = await reverie("status", "-o", "json", home=platform.home)
    assert (said.code, said.err) == (0, "")
    status = said.json()
    assert {one["service"] for one in status["instances"]} == {*(row.name for row in SERVICES), "edge"}
    assert all(
        one["healthy"] and one["sidecar_in_sync"] and one["zone"] == "a" for one in status["instances"]
    )
    assert set(status["services"]) == {row.name for row in SERVICES}
    assert set(status["analysis"]) >= {"due", "oldest_due_seconds", "dead"}
    assert status["pss_mib"] < 1.2 * 1024


async def test_status_for_people_ends_with_the_verdict(platform: Platform) -> None:
    await platform.wait_healthy()
    said = await reverie("status", home=platform.home)
    assert said.code == 0
    assert "query-a-0" in said.out
    assert f"all is well in {platform.home.root}" in said.out


async def test_status_says_what_is_wrong_and_where_to_look(platform: Platform) -> None:
    await platform.wait_healthy()
    await platform.stop_process("analyse-a-0")
    said = await reverie("status", home=platform.home)
    await platform.start_process("analyse-a-0")
    assert said.code == 1
    assert "does not run (stopped); see `reverie logs analyse-a-0`" in " ".join(said.out.split())


async def test_without_a_platform_status_ends_with_3_and_what_to_do(tmp_path: Path) -> None:
    said = await reverie("status", "-o", "json", home=Home(tmp_path / "none"))
    assert (said.code, said.out) == (3, "")
    assert "start it with `reverie up`" in said.err


async def test_a_second_start_is_refused_with_what_to_do(platform: Platform) -> None:
    said = await reverie("up", "--detach", home=platform.home)
    assert (said.code, said.out) == (2, "")
    assert "already runs" in said.err
    assert "`reverie down`" in said.err


async def test_logs_can_be_read_of_one_instance(platform: Platform) -> None:
    said = await reverie("logs", "ingest-a-0", "-n", "200", home=platform.home)
    assert said.code == 0
    assert "serving" in said.out
    said = await reverie("logs", "nobody", home=platform.home)
    assert said.code == 2
    assert "no log of 'nobody'; there are" in said.err


async def test_a_process_can_be_restarted_and_an_unknown_one_is_named(platform: Platform) -> None:
    await platform.wait_healthy()
    before = platform.processes()
    said = await reverie("restart", "query-a-0", home=platform.home)
    assert (said.code, said.err) == (0, "")
    after = platform.processes()
    assert {name for name in before if before[name] != after[name]} == {"query-a-0"}
    said = await reverie("restart", "nobody", home=platform.home)
    assert said.code != 0
    assert "no process 'nobody'; there are" in said.err
    await platform.wait_healthy()


async def test_stopping_what_does_not_run_is_no_failure(tmp_path: Path) -> None:
    said = await reverie("down", "-o", "json", home=Home(tmp_path / "none"))
    assert said.code == 0
    assert said.json()["was_running"] is False


async def test_the_doctor_finds_this_machine_fit_for_another_platform(tmp_path: Path) -> None:
    home = Home(tmp_path / "none")
    said = await reverie("doctor", "--port", "0", "--operator-port", "0", "-o", "json", home=home)
    found = {check["id"]: check["found"] for check in said.json()["checks"] if not check["ok"]}
    assert (said.code, found) == (0, {})
    assert not home.root.exists()


def test_the_doctor_sees_what_would_keep_a_platform_from_starting(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").touch()
    taken = Reservation()
    port = next(port for port in range(30_000, 31_000) if taken.take(port))
    results = doctor.examine(doctor.Context(Home(foreign), Options(port, operator_port=0)))
    taken.close()
    fatal = {result.check.id: result.found for result in results if result.is_fatal}
    assert fatal == {"home": f"{foreign} holds something else", "ports": f"port {port} is taken (--port)"}


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests show that it runs as this user")
async def test_it_runs_for_a_user_that_is_not_root_and_goes_down_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    as_user = userns.launcher(REVERIE, death_signal=signal.SIGKILL)
    try:
        up = await execute(
            *as_user, "up", "--detach", "--port", "0", "--operator-port", "0", "-o", "json", home=home
        )
        assert up.code == 0, up.err
        assert up.json()["public"] == list(home.endpoint().public)
        assert "ready: everything is healthy" in up.err
    finally:
        down = await reverie("down", home=home)
    assert down.code == 0
    assert "nothing of it runs any more" in down.out
    assert not leftovers.remaining(home)
