"""Raw channels to the platform that all tests share, which is well when a test begins."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from ops.local.platform import Platform
from tests.stack.whole.wire import Wire, wired


@pytest_asyncio.fixture(autouse=True)
async def well(platform: Platform) -> None:
    await platform.wait_healthy()


@pytest_asyncio.fixture
async def public(platform: Platform) -> AsyncIterator[Wire]:
    endpoint = platform.endpoint
    async with wired(endpoint.public, endpoint.ca) as wire:
        yield wire


@pytest_asyncio.fixture
async def operator(platform: Platform) -> AsyncIterator[Wire]:
    endpoint = platform.endpoint
    async with wired(endpoint.operator, endpoint.ca) as wire:
        yield wire


@pytest.fixture
def user() -> str:
    return f"user-{uuid4()}"
