"""What tests with real processes share.

One PostgreSQL server with a fresh database for each test, and one platform for those who look at all of it.
"""

from collections.abc import AsyncIterator
from itertools import count

import pytest_asyncio

from ops.local.plan import Options
from ops.local.platform import Platform
from ops.local.postgres import DATABASE
from services.storage.database import Address, Database
from tests.stack.servers import Server, scratch, started


@pytest_asyncio.fixture(scope="session")
async def postgres() -> AsyncIterator[Server]:
    """The server that all tests share. A test that kills one starts its own: see `started`."""
    with scratch() as home:
        server = await started(home)
        yield server
        server.stop()


_numbers = count(1)


@pytest_asyncio.fixture
async def address(postgres: Server) -> AsyncIterator[Address]:
    """Where a fresh database with the whole schema is."""
    name = f"test_{next(_numbers)}"
    await postgres.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER reverie_migrate")
    yield Address(postgres.socket, name, postgres.secrets)
    await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture
async def database(address: Address) -> AsyncIterator[Database]:
    """Pools of a fresh database with the whole schema."""
    async with Database.opened(address) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session")
async def platform() -> AsyncIterator[Platform]:
    """One with the fast embedder. Whoever hurts it mends it; whoever kills its supervisor starts another."""
    async with Platform.temporary(Options(embedder="static")) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def platform3() -> AsyncIterator[Platform]:
    """One in three zones, with the fast embedder. Whoever hurts it mends it."""
    async with Platform.temporary(Options(zones=3, embedder="static")) as running:
        yield running
