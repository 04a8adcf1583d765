"""A stream through the whole platform, of which one process after the other dies."""

import signal
from datetime import UTC, datetime

import reverie_client
from ops.local.plan import EDGE_ID, instance_id
from ops.local.platform import Platform
from reverie_client import NewMemory
from tests.stack.servers import until

MEMORIES = 8_000
INGEST = instance_id("ingest")
DEATHS = {
    1_000: (INGEST, signal.SIGKILL),
    3_000: (EDGE_ID, signal.SIGKILL),
    5_000: (INGEST, signal.SIGTERM),
}
"""After so many outcomes a process gets that signal. SIGTERM: it drains."""


async def test_a_stream_survives_what_dies_under_it_and_nothing_is_lost_or_there_twice(
    platform: Platform, user: str
) -> None:
    endpoint = platform.endpoint
    restarts = platform.restarts(INGEST)

    async def was_restarted() -> bool:
        return platform.restarts(INGEST) == restarts + 2

    when = datetime(2025, 3, 9, tzinfo=UTC)
    new = (NewMemory(f"memory {number}", occurred_at=when) for number in range(MEMORIES))
    async with reverie_client.connect(
        endpoint.public, ca=endpoint.ca, token=platform.token(user=user)
    ) as reverie:
        of_user = reverie.user(user)
        names: list[str] = []
        async for outcome in of_user.create_stream(new):
            assert outcome.created is not None
            names.append(outcome.created.name)
            if len(names) in DEATHS:
                platform.kill(*DEATHS[len(names)])
        # What this connection reads shows what its stream has acknowledged.
        there = [memory async for memory in of_user.timeline()]
        # The one that drained may have acknowledged all there was, and goes only then; and the edge has to
        # see for itself that there is another.
        await until(was_restarted, "ingest is started again")
        await platform.wait_healthy()
        await of_user.create("one more")
    assert [memory.name for memory in there if memory.name not in {*names}] == []
    assert sorted(memory.name for memory in there) == sorted(names)
    assert {memory.text for memory in there} == {f"memory {number}" for number in range(MEMORIES)}
