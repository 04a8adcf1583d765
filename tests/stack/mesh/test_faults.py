"""What callers notice when something of a zone dies, freezes or starts again: no failed call, a short gap."""

import signal
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from reverie_client.errors import DeadlineExceeded, StoreDown
from tests.stack.mesh.toy import STORE_DOWN
from tests.stack.mesh.world import eventually
from tests.stack.mesh.zones import ZONES, Calls, Zones

RATE = 100.0
LONGEST_GAP = 2.0
"""Twice what is measured on a quiet machine (docs/decisions/0004-zones-and-faults.md)."""
AT_HOME = "asker-a-0>teller-a-0"
MOVED_WITHIN = 20.0
"""Seconds; mostly one after a death and three after a freeze."""
PROXIES = ("edge-a-0", "teller-a-0.proxy", "asker-a-0.proxy")
ZONE = (*PROXIES, "teller-a-0", "asker-a-0", "mesh-a-0")


@pytest.fixture(scope="module")
async def zones() -> AsyncIterator[Zones]:
    with tempfile.TemporaryDirectory(prefix="zones-", dir="/tmp") as home:
        zones = Zones(Path(home))
        try:
            await zones.start_all()
            yield zones
        finally:
            await zones.close()


@pytest.fixture
async def calls(zones: Zones) -> AsyncIterator[Calls]:
    """From zone a, well under way, all of them within it. None may fail."""
    async with zones.client() as reverie, Calls(reverie, RATE) as calls:
        await calls.goes(AT_HOME)
        yield calls
    assert calls.failures == []
    await zones.in_sync()


@pytest.mark.parametrize("zone", ZONES)
async def test_calls_stay_in_their_zone_while_it_is_well(zones: Zones, zone: str) -> None:
    async with zones.client(zone) as reverie, Calls(reverie, RATE) as calls:
        await calls.goes(f"asker-{zone}-0>teller-{zone}-0")


@pytest.mark.parametrize(
    ("names", "way"),
    [
        (("teller-a-0",), "teller-a-0"),
        (("teller-a-0.proxy",), "teller-a-0"),
        (("edge-a-0",), "asker-a-0"),
        (ZONE, "a-0"),
    ],
)
async def test_what_is_killed_costs_no_call_and_is_used_again_when_it_is_back(
    zones: Zones, calls: Calls, names: tuple[str, ...], way: str
) -> None:
    for name in names:
        zones.kill(name)
    await calls.goes(way, only=False)
    assert calls.longest_gap < LONGEST_GAP
    zones.again(*names)
    await calls.goes(AT_HOME)


@pytest.mark.parametrize(
    ("names", "way"),
    [
        (("teller-a-0",), "teller-a-0"),
        (("teller-a-0.proxy",), "teller-a-0"),
        (("edge-a-0",), "asker-a-0"),
        (PROXIES, "a-0"),
    ],
)
async def test_what_freezes_costs_no_call_and_is_used_again_when_it_goes_on(
    zones: Zones, calls: Calls, names: tuple[str, ...], way: str
) -> None:
    zones.signal(names, signal.SIGSTOP)
    try:
        await calls.goes(way, only=False)
        assert calls.longest_gap < LONGEST_GAP
    finally:
        zones.signal(names, signal.SIGCONT)
    await calls.goes(AT_HOME)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_proxies_go_on_to_the_other_control_plane_and_are_told_nothing_anew(
    zones: Zones, calls: Calls, number: signal.Signals
) -> None:
    first, second = await zones.busiest_planes()
    moving = await zones.connected_to(first)
    before = [await updates(zones, node) for node in moving]
    if number is signal.SIGKILL:
        zones.kill(first)
    else:
        zones.signal((first,), number)

    async def moved() -> bool:
        return moving <= await zones.connected_to(second)

    try:
        await eventually(moved, "every proxy at the other control plane", MOVED_WITHIN)
        assert [await updates(zones, node) for node in moving] == before
    finally:
        if number is signal.SIGKILL:
            zones.again(first)
        else:
            zones.signal((first,), signal.SIGCONT)
    await calls.some(50)


async def updates(zones: Zones, node: str) -> tuple[int | None, int | None]:
    """How often a proxy was told of clusters and of listeners."""
    clusters = await zones.gauge(node, "cluster_manager.cds.update_success")
    return clusters, await zones.gauge(node, "listener_manager.lds.update_success")


async def test_what_all_tellers_lack_ejects_none_and_callers_repeat_until_their_deadline(
    zones: Zones,
) -> None:
    async with zones.client() as reverie:
        # No more at the same time than an edge always lets in: who is kept out says nothing of the tellers.
        async with Calls(reverie, 1.5, STORE_DOWN, timedelta(seconds=1)) as calls:

            async def failed() -> bool:
                return len(calls.failures) > 6

            await eventually(failed, "calls at their deadline")
        # The deadline may overtake the last try, which then says what the one before met.
        met = [error.__cause__ if type(error) is DeadlineExceeded else error for _, error in calls.failures]
        assert {type(error) for error in met} == {StoreDown}
        assert calls.answers == []
        for zone in ZONES:
            ejected = "cluster.teller.outlier_detection.ejections_active"
            assert await zones.gauge(f"asker-{zone}-0", ejected) == 0
        async with Calls(reverie, RATE) as well:
            await well.goes(AT_HOME)
        assert well.failures == []


@pytest.mark.parametrize("name", ["teller-a-0", "asker-a-0", "edge-a-0"])
async def test_a_restart_costs_no_call(zones: Zones, calls: Calls, name: str) -> None:
    for _ in range(2):
        await zones.restart(name)
        await calls.goes(AT_HOME)
