"""Storage's services over a fresh database."""

import pytest

from services.storage.database import Database
from tests.stack.storage.harness import Storage


@pytest.fixture
def storage(database: Database) -> Storage:
    """The services of one storage process."""
    return Storage(database)
