from uuid import uuid4

import pytest

from ops.local.platform import Platform
from tests.stack.cli.command import Command


@pytest.fixture
def user() -> str:
    return f"user-{uuid4()}"


async def test_what_was_added_is_found_changed_and_deleted(reverie: Command, user: str) -> None:
    added = await reverie.json(
        "add", "Planted the lemon tree.", "--user", user, "--at", "2025-03-09", "--place", "Garden",
        "--person", "Avó", "--label", "tree", "--kind", "event",
    )  # fmt: skip
    assert (added["occurred_at"], added["kind"], added["place"]) == (
        "2025-03-09",
        "event",
        {"name": "Garden"},
    )

    found = await reverie.json("search", "Where is the lemon tree?", "--user", user, "--why")
    assert [hit["memory"]["id"] for hit in found["hits"]] == [added["id"]]
    assert "lemon" in found["hits"][0]["why"]["matched_words"]

    changed = await reverie.json(
        "update", added["id"], "--user", user, "--text", "Planted two lemon trees.", "--clear", "people"
    )
    assert (changed["text"], changed["labels"]) == ("Planted two lemon trees.", ["tree"])
    assert "people" not in changed
    assert changed["etag"] != added["etag"]

    assert await reverie.json("get", changed["name"]) | {"analysis": None} == changed | {"analysis": None}
    deleted = await reverie.json("delete", added["id"], "--user", user)
    assert deleted == {"deleted": added["name"]}
    gone = await reverie("get", added["id"], "--user", user, "-o", "json")
    assert (gone.code, gone.stdout) == (1, "")
    assert "`reverie timeline` lists those there are" in gone.stderr


async def test_a_change_that_starts_from_an_older_state_is_refused(reverie: Command, user: str) -> None:
    added = await reverie.json("add", "Six eggs.", "--user", user)
    await reverie.json(
        "update", added["id"], "--user", user, "--text", "Eight eggs.", "--etag", added["etag"]
    )
    late = await reverie(
        "update", added["id"], "--user", user, "--text", "Seven eggs.", "--etag", added["etag"]
    )
    assert late.code == 1
    assert "read it again with `reverie get`" in late.stderr


async def test_a_timeline_goes_by_when_it_happened(reverie: Command, user: str) -> None:
    for at in ("2024-03", "2025-03-09T18:20:00+09:00", "1998"):
        await reverie.json("add", f"Happened in {at}.", "--user", user, "--at", at)
    newest = await reverie.json("timeline", "--user", user)
    assert [memory["occurred_at"] for memory in newest["memories"]] == [
        "2025-03-09T18:20:00+09:00", "2024-03", "1998",
    ]  # fmt: skip
    middle = await reverie.json("timeline", "--user", user, "--since", "1999", "--until", "2024-03")
    assert [memory["occurred_at"] for memory in middle["memories"]] == ["2024-03"]
    shown = await reverie("timeline", "--user", user, "--oldest-first")
    assert [line.split("  ")[0] for line in shown.stdout.splitlines() if line[0] != " "] == [
        "1998", "March 2024", "9 Mar 2025 18:20",
    ]  # fmt: skip


async def test_on_this_day_shows_29_february_on_the_28th(reverie: Command, user: str) -> None:
    await reverie.json("add", "A birthday.", "--user", user, "--at", "2020-02-29")
    shown = await reverie.json("on-this-day", "--user", user, "--on", "2026-02-28")
    assert [memory["occurred_at"] for memory in shown["memories"]] == ["2020-02-29"]
    strict = await reverie.json("on-this-day", "--user", user, "--on", "2026-02-28", "--leap-day", "strict")
    assert strict["memories"] == []


async def test_what_the_platform_refuses_is_told_with_every_broken_field(reverie: Command, user: str) -> None:
    refused = await reverie("add", "x", "--user", user, "--language", "not a tag", "--label", "y" * 65)
    assert refused.code == 2
    (line,) = refused.stderr.splitlines()
    assert "memory.language" in line
    assert "memory.labels[0]" in line


async def test_a_token_of_somebody_else_opens_nothing(reverie: Command, platform: Platform) -> None:
    theirs = platform.token(user="tomas")
    refused = await reverie("timeline", "--user", "ines", "-o", "json", REVERIE_TOKEN=theirs)
    assert (refused.code, refused.stdout) == (2, "")
    assert "users:*" in refused.stderr
    assert (await reverie("timeline", "--user", "tomas", REVERIE_TOKEN=theirs)).code == 0


async def test_the_user_comes_from_the_environment(reverie: Command, user: str) -> None:
    added = await reverie.json("add", "Mine.", REVERIE_USER=user)
    assert added["name"].startswith(f"users/{user}/")


async def test_operators_see_the_queue_and_the_dead_letters(reverie: Command) -> None:
    assert set(await reverie.json("queue", "stat")) == {"due", "dead", "oldest_due_seconds", "stages"}
    assert await reverie.json("dlq", "list") == {"dead_letters": []}
    assert await reverie.json("dlq", "list", "--user", "ines") == {"dead_letters": []}
    assert await reverie.json("dlq", "replay", "--all") == {"replayed": 0}
    unknown = await reverie("dlq", "show", "nothing")
    assert unknown.code == 1
    assert "`reverie dlq list`" in unknown.stderr
