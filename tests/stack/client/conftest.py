from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.stack.client.small_reverie import Served, SmallReverie, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    reverie = SmallReverie()
    address = f"unix:{tmp_path}/small.sock"
    server = await serve(reverie, address)
    yield Served(reverie, address)
    await server.stop(None)
