"""Which migrations are applied, and when that is refused."""

import re
from importlib.resources import files

import pytest

from services.storage.migrate import Migration, MigrationError, migrations, pending

ONE = Migration(1, "first", "CREATE TABLE a ()")
TWO = Migration(2, "second", "CREATE TABLE b ()")
THREE = Migration(3, "third", "CREATE TABLE c ()")


def test_a_fresh_database_gets_everything_in_order() -> None:
    assert pending([ONE, TWO], {}) == [ONE, TWO]


def test_what_was_applied_is_not_applied_again() -> None:
    assert pending([ONE, TWO], {1: ONE.digest}) == [TWO]


def test_a_database_that_is_ahead_is_left_alone() -> None:
    assert pending([ONE, TWO], {1: ONE.digest, 2: TWO.digest, 3: THREE.digest}) == []


def test_a_changed_migration_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"0001 .*changed"):
        pending([ONE._replace(statements="DROP TABLE a")], {1: ONE.digest})


def test_a_migration_slipped_in_before_an_applied_one_is_refused() -> None:
    with pytest.raises(MigrationError, match="next number"):
        pending([ONE, TWO, THREE], {1: ONE.digest, 3: THREE.digest})


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, len(migrations()) + 1))


def test_every_file_beside_the_migrations_is_one() -> None:
    names = [file.name for file in files("services.storage").joinpath("migrations").iterdir()]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names), names
