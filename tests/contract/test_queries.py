"""Every statement about user data names an owner; those that may not say so in their first line."""

import re
from importlib.resources import files

import pytest

from services.storage.queries import MEMORY, text

USER_DATA = ("memories", "embeddings", "analysis_due", "analysis_results")

# What commits, hands out or mends work for several owners at once, or for all. Nothing that answers a user.
SEVERAL_OWNERS = {
    "write_batch", "current_memories", "report_failures", "replay", "claim_due", "overdue",
    "queue_stats", "dead_letters", "some_dead", "all_owners",
}  # fmt: skip

# Statements on the tables as such.
ABOUT_NO_ONE = {"analyze"}

NAMES = sorted(
    file.name.removesuffix(".sql")
    for file in files("services.storage.queries").iterdir()
    if file.name.endswith(".sql")
)


def statement(name: str) -> str:
    """A statement without its comments."""
    return re.sub(r"--[^\n]*", "", text(name))


def tables(name: str) -> list[tuple[str, str]]:
    """The tables of user data that a statement reads or writes, each with the alias that it has there."""
    pattern = rf"\b(?:FROM|JOIN|UPDATE|INTO)\s+({'|'.join(USER_DATA)})\b(?:\s+(?:AS\s+)?(?!WHERE|ON\b)(\w+))?"
    return [(table, alias or table) for table, alias in re.findall(pattern, statement(name))]


@pytest.mark.parametrize("name", sorted(set(NAMES) - SEVERAL_OWNERS - ABOUT_NO_ONE))
def test_a_statement_about_user_data_binds_one_owner(name: str) -> None:
    said = statement(name)
    for table, alias in tables(name):
        bound = rf"\b(?:{alias}\.)?owner = \$1"
        assert re.search(bound, said), f"{name}.sql reads {table} without `{alias}.owner = $1`"
        # Each mention of the table has its own condition.
        assert len(re.findall(r"\bowner = \$1", said)) >= len(tables(name)), name


@pytest.mark.parametrize("name", sorted(SEVERAL_OWNERS))
def test_a_statement_about_several_owners_says_so(name: str) -> None:
    comments = " ".join(re.findall(r"--([^\n]*)", text(name)))
    assert re.search(r"several owners|all owners", comments, re.IGNORECASE), name


def test_the_exceptions_exist() -> None:
    assert set(NAMES) >= SEVERAL_OWNERS | ABOUT_NO_ONE


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_lists_its_columns(name: str) -> None:
    assert not re.search(r"SELECT\s+\*|\b[a-z]\.\*", statement(name)), name


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_says_what_it_does_and_what_its_arguments_are(name: str) -> None:
    raw = text(name)
    assert raw.startswith("-- "), name
    arguments = set(re.findall(r"\$\d+", statement(name)))
    comments = " ".join(re.findall(r"--([^\n]*)", raw))
    if "Arguments as of" not in comments and name != "write_batch":
        assert arguments <= set(re.findall(r"\$\d+", comments)), f"{name}.sql leaves an argument unexplained"


def test_there_is_no_sql_outside_of_statements_and_migrations() -> None:
    """So whoever looks for what is asked of the database looks in one place."""
    keyword = re.compile(r"\b(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b", re.DOTALL)
    for file in files("services.storage").iterdir():
        if file.name.endswith(".py"):
            assert not keyword.search(file.read_text(encoding="utf-8")), file.name


def test_the_columns_of_a_memory_are_listed_once() -> None:
    assert len(MEMORY) == len(set(MEMORY))
    assert "{memory}" not in text("get_memory")
