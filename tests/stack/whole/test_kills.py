"""Each process of the platform dies once while clients write and read."""

import logging
from collections import Counter

import pytest

from ops.drills import checker
from ops.drills.load import Load, Traffic, load
from ops.drills.readback import what_is_there
from ops.local import forkserver
from ops.local.plan import EDGE_ID, FORKSERVER, MESH_ID, POSTGRES, VALKEY, instance_id, proxy_of
from ops.local.platform import Platform
from ops.local.procfs import PROC
from services.catalog import SERVICES
from tests.stack.servers import until
from tests.stack.whole.analysis import all_analysed, let_time_pass

log = logging.getLogger(__name__)

# Of each kind so many that all have been answered soon.
TRAFFIC = Traffic(rate=50, users=4, mix={"create": 30, "update": 20, "delete": 10, "read": 20, "search": 20})
KINDS = 5
MAY_FAIL = {
    "Unreachable",
    "PeerUnavailable",
    "UnknownOutcome",
    "StoreDown",
    "Draining",
    "Overloaded",
    "DeadlineExceeded",
}
"""How a call may end while something is away: nothing is said about the memory."""

PROCESSES = (
    FORKSERVER,
    POSTGRES,
    VALKEY,
    MESH_ID,
    EDGE_ID,
    *(instance_id(row.name) for row in SERVICES),
    *(proxy_of(instance_id(row.name)) for row in SERVICES),
)


@pytest.mark.parametrize("name", PROCESSES)
async def test_what_is_killed_under_load_comes_back_and_nothing_acknowledged_is_lost(
    platform: Platform, name: str
) -> None:
    restarts = platform.restarts(name)

    async def was_restarted() -> bool:
        return platform.restarts(name) > restarts

    async with load(platform, TRAFFIC, seed=1) as working:
        working.start()
        await more(working)
        pid = platform.kill(name)
        await until(was_restarted, f"{name} is started again")
        await platform.wait_healthy()
        await more(working)
        assert platform.processes()[name] != pid

        await working.stop()
        errors = Counter(call.error for call in working.calls if not call.ok)
        log.info("%s killed: of %d calls failed: %s", name, len(working.calls), dict(errors))
        assert {error.split()[0] for error in errors} <= MAY_FAIL
        there = await what_is_there([person.caught_up() for person in working.people], working.journal)
        assert checker.check(working.journal, there) == []

        # A worker that died, or whose results met a dead storage, leaves its claim to the end of the lease.
        await let_time_pass(platform)
        for person in working.people:
            await all_analysed(person.caught_up())


async def more(working: Load) -> None:
    """Waits until calls of each kind that began after this have been answered."""
    begun = len(working.calls)

    async def answered() -> bool:
        working.check()
        return len({call.kind for call in working.calls[begun:] if call.ok}) == KINDS

    await until(answered, "calls of each kind are answered")


async def test_no_process_is_missing_from_the_test_above(platform: Platform) -> None:
    assert set(platform.processes()) == set(PROCESSES)


async def test_services_and_control_planes_are_copies_of_the_fork_server(platform: Platform) -> None:
    for name in (MESH_ID, *(instance_id(row.name) for row in SERVICES)):
        await platform.restart(name)
        # The kernel shows of a copy what its fork server was started with.
        environment = (PROC / str(platform.processes()[name]) / "environ").read_bytes()
        assert all(f"{key}={value}".encode() in environment for key, value in forkserver.ENVIRONMENT.items())
