"""The real catalog, through the real control plane, into real proxies."""

import subprocess
import tempfile
from pathlib import Path

from mesh.bootstrap import command
from mesh.inspection import inspect, proxies
from services.catalog import SERVICES
from tests.stack.mesh.world import World


async def test_proxies_accept_everything_that_the_catalog_makes_of_them() -> None:
    with tempfile.TemporaryDirectory(prefix="mesh-", dir="/tmp") as home:
        world = World(Path(home), plane="mesh")
        try:
            for row in SERVICES:
                await world.add(row.name, "a", 0)
            world.add_edge()
            await world.start_plane()
            await world.in_sync()
            known = await proxies(world.mesh_socket)
            for node, socket in world.admin_sockets().items():
                assert inspect(socket, known[node]).reasons == ()
                _validate(world.home / node / "bootstrap.json")
        finally:
            await world.close()


def _validate(bootstrap_path: Path) -> None:
    done = subprocess.run(
        [*command(bootstrap_path), "--mode", "validate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
