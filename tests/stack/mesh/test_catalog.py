"""The real catalog, through the real control plane, into real proxies."""

import functools
import subprocess
import tempfile
from pathlib import Path

from mesh.bootstrap import command
from mesh.inspection import inspect, proxies
from services.catalog import SERVICES
from tests.stack.mesh.world import World, eventually


async def test_proxies_accept_everything_that_the_catalog_makes_of_them() -> None:
    with tempfile.TemporaryDirectory(prefix="mesh-", dir="/tmp") as home:
        world = World(Path(home), plane="mesh")
        try:
            for row in SERVICES:
                await world.add(row.name, "a", 0)
            world.add_edge()
            await world.start_plane()
            await world.in_sync()
            for node, socket in world.admin_sockets().items():
                await eventually(
                    functools.partial(_has_the_newest, world, node, socket), f"{node} has it all"
                )
                _validate(world.home / node / "bootstrap.json")
        finally:
            await world.close()


async def _has_the_newest(world: World, node: str, admin_socket: Path) -> bool:
    """Whether a proxy has what there is by now: that an instance is well may have come after the rest."""
    known = await proxies(world.mesh_socket)
    return inspect(admin_socket, known[node]).reasons == ()


def _validate(bootstrap_path: Path) -> None:
    done = subprocess.run(
        [*command(bootstrap_path), "--mode", "validate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
