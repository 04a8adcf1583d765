"""Search over a fresh database."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from services.storage.database import Database
from tests.stack.search.harness import Search
from tests.stack.storage.harness import Storage


@pytest.fixture
def storage(database: Database) -> Storage:
    """What writes and analyses."""
    return Storage(database)


@pytest_asyncio.fixture
async def searching(database: Database, storage: Storage) -> AsyncIterator[Callable[..., Search]]:
    """Makes search services, each with segments of its own."""
    made: list[Search] = []

    def make(*, loads: bool = True, mib: int = 64) -> Search:
        made.append(Search(database, storage, loads=loads, mib=mib))
        return made[-1]

    yield make
    for search in made:
        await search.close()


@pytest.fixture
def search(searching: Callable[..., Search]) -> Search:
    """A search service that keeps segments."""
    return searching()
