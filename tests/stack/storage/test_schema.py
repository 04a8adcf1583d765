"""The schema as a whole: what is there, who may do what."""

import asyncpg
import pytest

from services.storage.database import Address, Database
from services.storage.migrate import migrate
from tests.stack.servers import Server


async def test_migrating_again_changes_nothing(postgres: Server, address: Address) -> None:
    connection = await postgres.connect("migrate", address.name)
    try:
        assert await migrate(connection) == []
    finally:
        await connection.close()


async def test_the_coming_year_has_its_partitions(database: Database) -> None:
    (row,) = await database.read.fetch(
        "SELECT to_regclass('memories_15_' || extract(year FROM now() AT TIME ZONE 'UTC') + 1) IS NOT NULL"
    )
    assert row[0]


@pytest.mark.parametrize("role", ["read", "analysis", "admin"])
async def test_only_the_writing_role_creates_memories(postgres: Server, address: Address, role: str) -> None:
    connection = await postgres.connect(role, address.name)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "INSERT INTO memories (owner, id, revision) VALUES (gen_random_uuid(), gen_random_uuid(), 1)"
            )
    finally:
        await connection.close()
