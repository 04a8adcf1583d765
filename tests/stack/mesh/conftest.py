"""One small mesh for all tests of this folder."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.stack.mesh.world import World


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    """Two tellers in two zones, an asker, a hermit, an edge, all in sync. A test leaves it as it found it."""
    with tempfile.TemporaryDirectory(prefix="mesh-", dir="/tmp") as home:
        world = World(Path(home))
        try:
            await world.add("teller", "a", 0)
            await world.add("teller", "b", 0)
            await world.add("asker", "a", 0)
            await world.add("hermit", "a", 0)
            world.add_edge()
            await world.start_plane()
            await world.in_sync()
            yield world
        finally:
            await world.close()
