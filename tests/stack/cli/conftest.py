"""The command as people type it, against a platform of its own with the fast embedder."""

from collections.abc import AsyncIterator

import pytest_asyncio

from ops.local.plan import Options
from ops.local.platform import Platform
from tests.stack.cli.command import Command


@pytest_asyncio.fixture(scope="session")
async def platform() -> AsyncIterator[Platform]:
    async with Platform.temporary(Options(embedder="static")) as running:
        yield running


@pytest_asyncio.fixture
async def reverie(platform: Platform) -> Command:
    return Command(platform.home.root)
