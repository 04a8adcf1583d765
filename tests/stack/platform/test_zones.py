"""A platform in three zones: all of it is there, and any zone may go and come back."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

import reverie_client
from mesh.topology import load
from ops.local.home import HomeError
from ops.local.lifecycle import Phase
from ops.local.plan import FORKSERVER, POSTGRES, stores, valkey_ids
from ops.local.platform import Platform
from ops.local.valkey_cluster import HOST, parse
from ops.local.zone import Zone
from reverie_client import User
from services.catalog import SERVICES
from tests.stack.servers import until

LARGEST_MIB = 2.5 * 1024
ZONES = ("a", "b", "c")
SOON = timedelta(seconds=10)


@asynccontextmanager
async def somebody(platform: Platform) -> AsyncIterator[User]:
    """Somebody who knows every edge."""
    user, endpoint = f"user-{uuid4()}", platform.endpoint
    token = platform.token(user=user)
    async with reverie_client.connect(endpoint.public, ca=endpoint.ca, token=token) as reverie:
        yield reverie.user(user)


async def test_each_zone_has_an_edge_and_every_service(platform3: Platform) -> None:
    status = await platform3.wait_healthy()
    services = [*(row.name for row in SERVICES), "edge"]
    assert {(one.service, one.zone) for one in status.instances} == {
        (service, zone) for service in services for zone in ZONES
    }
    assert {one.name for one in status.processes} == {
        FORKSERVER, POSTGRES, "mesh-a-0", "mesh-b-0", *valkey_ids(ZONES)
    }  # fmt: skip
    edges = load(platform3.home.topology).edges
    assert [edge.zone for edge in edges] == list(platform3.zones) == list(ZONES)
    assert platform3.endpoint.public == tuple(f"{edge.address}:{edge.public_port}" for edge in edges)


async def test_three_zones_are_small(platform3: Platform) -> None:
    assert (await platform3.status()).pss_mib < LARGEST_MIB


@pytest.mark.parametrize(
    ("name", "hurt"), [("a", Zone.kill), ("b", Zone.freeze), ("c", Zone.cut)], ids=["kill", "freeze", "cut"]
)
async def test_while_a_zone_is_away_calls_go_on_and_afterwards_all_is_as_before(
    platform3: Platform, name: str, hurt: Callable[[Zone], object]
) -> None:
    await platform3.wait_healthy()
    before, zone = platform3.processes(), platform3.zone(name)
    async with somebody(platform3) as user:
        hurt(zone)
        try:
            made = [await user.create(f"Note {number} of the tide.") for number in range(5)]
            assert [(await user.get(memory)).id for memory in made] == [memory.id for memory in made]
            assert {hit.memory.id for hit in await user.search("tide")} == {memory.id for memory in made}
            hurt(zone)
            if hurt is Zone.kill:
                await platform3.until(lambda: is_down(zone), SOON, "the supervisor has not noticed")
                assert zone.processes() == {}
            await until(lambda: is_the_only_one_away(zone), "the others get over it")
        finally:
            await zone.heal()
        await zone.heal()
    await platform3.wait_healthy()
    after = platform3.processes()
    assert set(after) == set(before)
    survived = {process for process, pid in before.items() if after[process] == pid}
    assert survived == {p for p in before if hurt is not Zone.kill or f"-{name}-" not in p}
    assert await primaries(platform3) == list(ZONES)


async def test_a_zone_that_does_not_exist_is_refused(platform3: Platform) -> None:
    with pytest.raises(HomeError, match="no zone 'd'; there are a, b, c"):
        platform3.zone("d")


def is_down(zone: Zone) -> bool:
    """Whether the supervisor has buried all of a zone, and starts nothing of it again."""
    return all(zone.platform.phase(name) is Phase.STOPPED for name in zone.names())


async def is_the_only_one_away(zone: Zone) -> bool:
    """Whether some of a zone is not well, and nothing else."""
    troubles = [*(await zone.platform.status(weigh=False)).troubles()]
    return bool(troubles) and all(f"-{zone.name}-" in trouble for trouble in troubles)


async def primaries(platform: Platform) -> list[str]:
    """The zones of Valkey's primaries, as its first node sees them."""
    _, nodes = stores(platform.home)
    zones = {node.place.port: node.place.zone for node in nodes}
    first = nodes[0]
    async with Redis(
        host=HOST, port=first.place.port, password=first.password_file.read_text(), decode_responses=True
    ) as redis:
        seen = parse(await redis.execute_command("CLUSTER", "NODES"))  # type: ignore[no-untyped-call]
    return sorted(zones[peer.port] for peer in seen if peer.is_primary)
