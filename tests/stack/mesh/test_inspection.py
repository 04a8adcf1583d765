"""What the status of a proxy is read from."""

import asyncio
from pathlib import Path

from mesh.inspection import inspect, proxies
from reverie.mesh.v1 import mesh_pb2
from tests.stack.mesh.table import TELL
from tests.stack.mesh.world import World, call, eventually


async def test_every_proxy_says_itself_that_it_is_in_sync(world: World) -> None:
    for node, socket in world.admin_sockets().items():

        async def is_in_sync(node: str = node, socket: Path = socket) -> bool:
            # What it was sent in this moment it has not acknowledged yet.
            known = await proxies(world.mesh_socket)
            return (await asyncio.to_thread(inspect, socket, known[node])).is_in_sync

        await eventually(is_in_sync, f"{node} is in sync")


async def test_another_version_of_anything_is_noticed(world: World) -> None:
    asker = world.topology.of("asker")[0]
    proxy = (await proxies(world.mesh_socket))[asker.id]
    for status in proxy.types:
        if not status.type_url.endswith("ClusterLoadAssignment"):
            status.wanted[0].version = "other"
            del status.wanted[1]
            status.wanted.append(mesh_pb2.ResourceVersion(name="new", version="1"))
    seen = await asyncio.to_thread(inspect, asker.admin_socket, proxy)
    assert not seen.is_in_sync
    for kind in ("Cluster", "Listener", "RouteConfiguration"):
        about = [reason for reason in seen.reasons if reason.startswith(f"{kind}:")]
        assert any("runs with" in reason for reason in about)
        assert any("should be gone" in reason for reason in about)
        assert f"{kind}: new is not active" in about


async def test_latencies_are_those_of_the_calls(world: World) -> None:
    asker = world.topology.of("asker")[0]
    before = (await asyncio.to_thread(inspect, asker.admin_socket, None)).outbound.count
    for teller in ("teller-a-0", "teller-b-0"):
        world.services[teller].delay = 0.05
    try:
        async with world.egress(asker.id) as channel:
            for _ in range(10):
                await call(channel, TELL)
    finally:
        for teller in ("teller-a-0", "teller-b-0"):
            world.services[teller].delay = 0.0
    outbound = (await asyncio.to_thread(inspect, asker.admin_socket, None)).outbound
    assert outbound.count == before + 10
    slowest = outbound.quantile(1.0)
    assert slowest is not None
    assert slowest >= 50
