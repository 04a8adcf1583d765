"""Brings the schema up to date: `python -m services.storage.migrate`, once, before storage starts.

Migrations are the files `migrations/NNNN_name.sql`: forward only, each safe while the version of storage
before it runs, each in a transaction of its own, and never changed once it was applied anywhere. Several
processes may run this at once: one does the work, the others wait and find it done.
"""

import asyncio
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.embedder import EMBEDDERS
from services.storage.analyses import EMBED
from services.storage.queries import text

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_LOCK = 7_283_914_605
"""Any number that no other user of the database takes an advisory lock on."""

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class MigrateConfig(BaseSettings):
    """What the migration is told by its environment: `REVERIE_*`."""

    model_config = SettingsConfigDict(env_prefix="REVERIE_", frozen=True, extra="ignore")

    database_socket: Path
    database_name: str = "reverie"
    database_secrets: Path

    embedder: str | None = None
    """The model that is to answer questions; None leaves it as it is."""


class Migration(NamedTuple):
    """One step of the schema."""

    number: int
    name: str
    statements: str

    @property
    def digest(self) -> bytes:
        """What tells that the file has not changed."""
        return hashlib.sha256(self.statements.encode()).digest()


class MigrationError(Exception):
    """Raised when the files do not fit what was applied; says what to do."""


def migrations() -> list[Migration]:
    """The migrations of this version, in order."""
    return sorted(
        Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
        for file in files("services.storage").joinpath("migrations").iterdir()
        if (match := _FILE.fullmatch(file.name))
    )


def pending(available: Sequence[Migration], applied: Mapping[int, bytes]) -> list[Migration]:
    """Those to apply now, in order. MigrationError if an applied one has changed or was left out.

    The database may be ahead of this version: then there is nothing to do.
    """
    for migration in available:
        if migration.number in applied and applied[migration.number] != migration.digest:
            raise MigrationError(
                f"migration {migration.number:04} ({migration.name}) has changed since it was applied: "
                "put the file back as it was and write a new migration"
            )
    fresh = [migration for migration in available if migration.number not in applied]
    if fresh and applied and fresh[0].number < max(applied):
        raise MigrationError(
            f"migration {fresh[0].number:04} ({fresh[0].name}) is older than the last one applied "
            f"({max(applied):04}): give it the next number"
        )
    return fresh


async def migrate(connection: "Connection") -> list[str]:
    """Applies what is pending, makes the coming year's partitions; returns the names of what was applied."""
    await connection.execute(text("migration_lock"), _LOCK)
    try:
        await connection.execute(text("migrations_table"))
        applied = {row[0]: row[1] for row in await connection.fetch(text("migrations_applied"))}
        fresh = pending(migrations(), applied)
        for migration in fresh:
            await _apply(connection, migration)
        await connection.execute(text("extend_partitions"))
    finally:
        await connection.execute(text("migration_unlock"), _LOCK)
    return [f"{migration.number:04}_{migration.name}" for migration in fresh]


async def use_model(connection: "Connection", model: int) -> int:
    """Makes a model the one that answers, and every memory without a vector of it due; returns how many.

    Until those are done, questions are answered with the vectors that there are. Safe at any time.
    """
    if await connection.fetchval(text("active_model")) == model:
        return 0
    # First what comes from now on; then, when nobody goes by the old any more, what is there: so nothing is
    # missed.
    await connection.execute(text("set_due_targets"), [EMBED], [model])
    await _older_ended(connection)
    due = 0
    for (owner,) in await connection.fetch(text("all_owners")):
        async with connection.transaction():
            due += await connection.fetchval(text("make_due"), owner, EMBED, model)
            await connection.execute(text("forget_other_models"), owner, EMBED, model)
    await connection.execute(text("set_active_model"), model)
    return due


async def _older_ended(connection: "Connection", every_seconds: float = 0.05) -> None:
    """Returns when every transaction has ended that began to write before now."""
    number = await connection.fetchval(text("transaction"))
    while not await connection.fetchval(text("older_ended"), number):  # noqa: ASYNC110  (it tells nobody)
        await asyncio.sleep(every_seconds)


async def main() -> None:
    """Migrates the database that the environment names."""
    config = MigrateConfig()  # type: ignore[call-arg]  # the environment has them
    connection = await asyncpg.connect(
        host=str(config.database_socket),
        user="reverie_migrate",
        password=(config.database_secrets / "migrate").read_text(encoding="ascii").strip(),
        database=config.database_name,
    )
    try:
        _say("applied", await migrate(connection))
        if config.embedder:
            due = await use_model(connection, EMBEDDERS[config.embedder].number)
            _say("analyses due for a new model", [str(due)] if due else [])
    finally:
        await connection.close()


def _say(what: str, names: Iterable[str]) -> None:
    if said := ", ".join(names):
        sys.stderr.write(f"migrate: {what}: {said}\n")


async def _apply(connection: "Connection", migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.statements)
        await connection.execute(
            text("migration_applied"), migration.number, migration.name, migration.digest
        )


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (MigrationError, OSError) as error:
        sys.exit(f"migrate: {error}")
