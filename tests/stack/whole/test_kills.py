"""Each process of the platform dies once while clients write and read."""

import logging
from uuid import uuid4

import pytest

from ops.local.plan import EDGE_ID, MESH_ID, POSTGRES, VALKEY, instance_id, proxy_of
from ops.local.platform import Platform
from reverie.memory.v1 import memory_pb2
from reverie_client import Memory
from services.catalog import SERVICES
from tests.stack.servers import until
from tests.stack.whole.analysis import all_analysed, let_time_pass
from tests.stack.whole.load import Journal, load

log = logging.getLogger(__name__)

PROCESSES = (
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

    async with load(platform) as working:
        await working.more()
        pid = platform.kill(name)
        await until(was_restarted, f"{name} is started again")
        await platform.wait_healthy()
        await working.more()
        assert platform.processes()[name] != pid

        await working.stop()
        log.info("%s killed: %s succeeded, failed: %s", name, working.done.total(), dict(working.failed))
        await working.verify()
        assert working.broken == []

        # A worker that died, or whose results met a dead storage, leaves its claim to the end of the lease.
        await let_time_pass(platform)
        for person in working.people:
            await all_analysed(person.caught_up())


async def test_no_process_is_missing_from_the_test_above(platform: Platform) -> None:
    assert set(platform.processes()) == set(PROCESSES)


def test_the_journal_of_the_load_sees_what_is_lost_doubled_or_changed() -> None:
    journal, kept, lost = Journal(), uuid4(), uuid4()
    for id_ in (kept, lost):
        journal.hand_over(id_, f"text of {id_}")
        journal.acknowledge(id_, f"text of {id_}")
    here, changed, doubled = (
        Memory(memory_pb2.Memory(name=f"users/ana/memories/{id_}", text=text))
        for id_, text in ((kept, f"text of {kept}"), (kept, "other"), (uuid4(), f"text of {kept}"))
    )
    assert [*journal.broken([here])] == [f"{lost} is lost"]
    assert f"{kept} is there 2 times" in journal.broken([here, here])
    assert f"{kept} is another text" in journal.broken([changed])
    assert "a text is there 2 times" in journal.broken([here, doubled])
