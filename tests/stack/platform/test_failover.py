"""Valkey loses the node that the hints are on: they go on with its replica."""

import re
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import MovedError

import reverie_client
from mesh.inspection import read
from ops.local import plan
from ops.local.platform import Platform
from ops.local.process import zone_of
from ops.local.valkey_cluster import HOST
from services.storage.client import HINT_STREAM
from tests.stack.servers import until

_SENT = re.compile(r"^reverie_hints_sent_total(?:\{.*\})? (\d+)", re.MULTILINE)


async def test_hints_go_on_while_the_node_that_they_are_on_is_frozen_and_when_it_thaws(
    platform3: Platform,
) -> None:
    await platform3.wait_healthy()
    name = await owner(platform3)
    user, endpoint = f"user-{uuid4()}", platform3.endpoint
    async with reverie_client.connect(
        endpoint.public, ca=endpoint.ca, token=platform3.token(user=user)
    ) as reverie:

        async def are_sent() -> bool:
            """Whether Valkey takes more hints, of memories that are written now."""
            before = sent(platform3)
            await reverie.user(user).create("A note of the tide.")
            return sent(platform3) > before

        await until(are_sent, "hints are sent at first")
        platform3.freeze(name)
        try:
            # As a rule within two seconds; an election that a busy machine loses comes again after some more.
            await until(are_sent, "hints are sent to the replica")
        finally:
            platform3.thaw(name)
            await platform3.zone(zone_of(name)).heal()
        await until(are_sent, "hints are sent to the node that was frozen")
    assert await owner(platform3) == name


def sent(platform: Platform) -> int:
    """How many hints Valkey has taken from all instances of storage."""
    sockets = [
        platform.home.instance(plan.instance_id("storage", zone)) / "stats.sock" for zone in platform.zones
    ]
    return sum(int(count) for socket in sockets for count in _SENT.findall(read(socket, "/metrics")))


async def owner(platform: Platform) -> str:
    """The node that the hints are on."""
    _, nodes = plan.stores(platform.home)
    first, names = nodes[0], {node.place.port: node.place.name for node in nodes}
    async with Redis(host=HOST, port=first.place.port, password=first.password_file.read_text()) as redis:
        try:
            await redis.exists(HINT_STREAM)
        except MovedError as moved:
            return names[moved.port]
    return first.place.name
