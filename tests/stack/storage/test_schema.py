"""The schema as a whole: what is there, who may do what."""

import re
from uuid import UUID

import asyncpg
import pytest

from services.storage.database import Address, Database
from services.storage.migrate import migrate
from services.storage.queries import text
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


async def test_no_table_is_analysed_so_often_that_plans_do_not_last(database: Database) -> None:
    rows = await database.read.fetch(
        """SELECT relname, reloptions FROM pg_class
           WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
             AND (relname ~ '^(memories|embeddings)_' OR relname IN ('owners', 'analysis_due'))"""
    )
    assert len(rows) > 2 * 16
    for name, options in rows:
        kept = dict(option.split("=") for option in options or ())
        assert int(kept.get("autovacuum_analyze_threshold", "50")) >= 1_000, name
        assert int(kept.get("autovacuum_vacuum_threshold", "50")) >= 1_000, name


async def test_what_is_known_of_memories_and_vectors_comes_of_small_samples(database: Database) -> None:
    rows = await database.read.fetch(
        """SELECT a.attrelid::regclass::text, a.attname, a.attstattarget
           FROM unnest('{memories,embeddings}'::regclass[]) t, pg_partition_tree(t) p
           JOIN pg_attribute a ON a.attrelid = p.relid AND a.attnum > 0"""
    )
    assert len(rows) > 2 * 16
    assert {(table, column) for table, column, target in rows if target != 10} == set()


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


SOME = f"'{UUID(int=7)}'"
PAGE = f"{SOME}, '-infinity', 'infinity', 'infinity', {SOME}, 50, NULL, NULL, NULL, NULL, NULL"


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        ("get_memory", f"{SOME}, {SOME}", "pkey"),
        ("get_memory_basic", f"{SOME}, {SOME}", "pkey"),
        ("batch_get_memories", f"{SOME}, ARRAY[{SOME}]::uuid[]", "pkey"),
        ("search_hits", f"{SOME}, ARRAY[{SOME}]::uuid[], 1, NULL", "pkey"),
        ("list_newest", PAGE, "owner_occurred_at_id_idx"),
        ("list_oldest", PAGE, "owner_occurred_at_id_idx"),
        ("search_changes", f"{SOME}, 1, 100", "owner_revision_idx"),
    ],
)
async def test_empty_tables_get_the_plans_of_full_ones(
    database: Database, statement: str, arguments: str, index: str
) -> None:
    """A plan is kept until its tables are analysed: a first import would be read by the wrong index."""
    async with database.read.acquired() as connection:
        await connection.execute(f"PREPARE asked AS {text(statement)}")
        rows = await connection.fetch(f"EXPLAIN EXECUTE asked ({arguments})")
    used = set(re.findall(r"memories_\d+_(?:before|\d{4})_(\w+)", "\n".join(row[0] for row in rows)))
    assert used == {index}
