"""One platform on real parts: what it says of itself, and how it starts and stops."""

import asyncio
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

import reverie_client
from mesh.topology import load
from ops.local import leftovers, record
from ops.local.draining import active
from ops.local.home import Home, HomeError, NotRunningError
from ops.local.lifecycle import Phase
from ops.local.operate import StartError
from ops.local.plan import EDGE_ID, Options, instance_id
from ops.local.platform import Platform
from reverie_client.operator import Operator
from reverie_client.retry import NO_RETRY
from services.catalog import SERVICES
from tests.stack.platform.waiting import until

LARGEST_MIB = 1.2 * 1024


async def test_every_instance_is_healthy_and_in_sync_behind_its_own_proxy(platform: Platform) -> None:
    status = await platform.wait_healthy()
    assert {one.service for one in status.instances} == {*(row.name for row in SERVICES), "edge"}
    assert all(one.healthy and one.sidecar_in_sync for one in status.instances)
    assert {name: one.objective_p95_ms for name, one in status.services.items()} == {
        row.name: row.objective_p95 / timedelta(milliseconds=1) for row in SERVICES
    }
    assert status.stage == "ready"


async def test_the_platform_is_small(platform: Platform) -> None:
    status = await platform.status()
    instances = sum(one.pss_mib for one in status.instances)
    others = sum(one.pss_mib for one in status.processes)
    assert 0 < others < instances
    assert instances + others < status.pss_mib
    assert status.pss_mib < LARGEST_MIB


async def test_a_measured_latency_comes_from_the_proxies(platform: Platform) -> None:
    # The status itself asks storage through the edge, so there was a call before this one.
    await platform.status()
    measured = (await platform.status()).services["storage"]
    assert measured.p95_ms is not None
    assert measured.p95_ms > 0
    assert measured.calls > 0


async def test_all_of_it_is_for_its_owner_only(platform: Platform) -> None:
    open_ones = [
        path
        for path in platform.home.root.rglob("*")
        if path.is_dir() and not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert not open_ones


async def test_a_frozen_service_is_seen_and_well_again_when_it_thaws(platform: Platform) -> None:
    name = instance_id("query")
    await platform.wait_healthy()
    platform.freeze(name)
    try:
        status = await platform.status(weigh=False)
    finally:
        platform.thaw(name)
    sick = [one for one in status.instances if not one.healthy]
    assert [one.id for one in sick] == [name]
    assert sick[0].sidecar_in_sync
    assert "does not answer" in sick[0].detail
    await platform.wait_healthy()


async def test_a_service_that_was_stopped_stays_so_until_it_is_started(platform: Platform) -> None:
    name = instance_id("analyse")
    await platform.wait_healthy()
    await platform.stop_process(name)
    status = await platform.status(weigh=False)
    assert [one.id for one in status.instances if not one.healthy] == [name]
    await platform.start_process(name)
    await platform.wait_healthy()


async def test_an_edge_that_is_stopped_lets_calls_under_way_end(platform: Platform) -> None:
    await platform.wait_healthy()
    edge = load(platform.home.topology).edges[0]
    stopping = None
    async with reverie_client.connect(
        platform.endpoint.operator,
        token=platform.token(scopes=("operator",)),
        ca=platform.endpoint.ca,
        retry=NO_RETRY,
    ) as reverie:
        platform.freeze(instance_id("storage"))
        try:
            call = asyncio.create_task(Operator(reverie).echo(response_size=7, to="storage"))
            await until(lambda: active(edge.admin_socket) == 1)
            stopping = asyncio.create_task(platform.stop_process(EDGE_ID))
            await until(lambda: phase(platform, EDGE_ID) is Phase.STOPPING)
        finally:
            platform.thaw(instance_id("storage"))
        assert await call == bytes(7)
        await stopping
    await platform.start_process(EDGE_ID)
    await platform.wait_healthy()


def phase(platform: Platform, name: str) -> Phase:
    found = record.load(platform.home.state)
    assert found is not None
    return found.processes[name].phase


async def test_a_second_start_of_the_same_home_is_refused_and_harms_nothing(platform: Platform) -> None:
    before = platform.processes()
    with pytest.raises(HomeError, match=r"already runs in .*: look at it with `reverie status`"):
        await Platform.start(platform.home)
    assert platform.processes() == before


async def test_a_platform_that_is_killed_leaves_nothing_and_starts_again_beside_another(
    platform: Platform,
) -> None:
    async with Platform.temporary() as other:
        # The one that all tests share has the smaller embedder.
        assert (await other.status()).pss_mib < LARGEST_MIB
        endpoint = other.endpoint
        assert not {*endpoint.public, *endpoint.operator} & {
            *platform.endpoint.public,
            *platform.endpoint.operator,
        }
        await platform.wait_healthy()

        other.kill_supervisor()
        await until(lambda: not leftovers.remaining(other.home))
        with pytest.raises(NotRunningError, match=r"the supervisor of .* was killed"):
            await other.status()
        await platform.wait_healthy()

        again = await Platform.start(other.home)
        assert again.endpoint == endpoint
        with pytest.raises(StartError, match=f"port {port_of(platform)} is taken .* --port 0"):
            async with Platform.temporary(Options(port=port_of(platform))):
                pytest.fail("two platforms on one port")
        await again.stop()
        assert not leftovers.remaining(other.home)
        with pytest.raises(NotRunningError):
            _ = again.endpoint
        with pytest.raises(NotRunningError):
            await again.stop()


def port_of(platform: Platform) -> int:
    return load(platform.home.topology).edges[0].public_port


async def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    starting = asyncio.create_task(Platform.start(home, Options(port=0, operator_port=0)))
    await until(lambda: bool(alive(home)))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not leftovers.remaining(home)


async def test_a_start_that_somebody_stops_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    starting = asyncio.create_task(Platform.start(home, Options(port=0, operator_port=0)))
    await until(lambda: bool(alive(home)))
    await Platform(home).stop()
    with pytest.raises(StartError, match=r"^it was stopped while it started$"):
        await starting
    assert not leftovers.remaining(home)


async def test_a_temporary_platform_ends_with_the_program_that_started_it() -> None:
    program = (
        "import asyncio\n"
        "from ops.local.platform import Platform\n"
        "async def main():\n"
        "    async with Platform.temporary(report=lambda line: print(line, flush=True)) as platform:\n"
        "        pass\n"
        "asyncio.run(main())\n"
    )
    with tempfile.TemporaryDirectory(prefix="reverie-t-") as place:
        owner = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env={**os.environ, "TMPDIR": place}
        )
        try:
            await until(lambda: any(alive(Home(root)) for root in Path(place).glob("reverie-*")))
        finally:
            owner.kill()
            await owner.wait()
        await until(lambda: not list(Path(place).glob("reverie-*")))


def alive(home: Home) -> dict[str, object]:
    found = record.load(home.state)
    return {**found.alive} if found else {}
