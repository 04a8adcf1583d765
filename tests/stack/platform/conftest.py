"""One platform for all tests here; those that end its supervisor start their own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from ops.local.platform import Platform


@pytest_asyncio.fixture(scope="session")
async def platform() -> AsyncIterator[Platform]:
    async with Platform.temporary() as running:
        yield running
