import asyncio
import json
import signal
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import pytest

import reverie_client
from ops.local.platform import Platform
from reverie_client import User
from tests.stack.cli.command import Command

WITHIN = 30.0
MANY = 20_000
"""Memories that are not all in before somebody has looked whether some are."""


@pytest.fixture
def user() -> str:
    return f"user-{uuid4()}"


def write(path: Path, count: int, broken: Iterable[int] = ()) -> Path:
    """A file of memories; the broken lines are no JSON."""
    with path.open("w") as file:
        for number in range(1, count + 1):
            memory = {"key": str(number), "text": f"memory number {number}", "occurred_at": "2025-03-09"}
            file.write("{oops\n" if number in broken else json.dumps(memory) + "\n")
    return path


async def count(user: User) -> int:
    return len(await user.timeline())


async def some_are_in(user: User) -> None:
    """Waits for the first memory."""
    async with asyncio.timeout(WITHIN):
        while not await user.timeline(limit=1):
            pass


async def test_importing_twice_adds_nothing(reverie: Command, user: str, tmp_path: Path) -> None:
    file = str(write(tmp_path / "memories.jsonl", 120))
    first = await reverie.json("import", file, "--user", user, "--batch", "50", "--wait")
    assert (first["added"], first["already_there"], first["broken"]) == (120, 0, 0)
    assert first["analysed_after_seconds"] is not None
    before = await reverie.json("timeline", "--user", user, "-n", "1000")
    again = await reverie.json("import", file, "--user", user)
    assert (again["added"], again["already_there"], again["broken"]) == (0, 120, 0)
    assert await reverie.json("timeline", "--user", user, "-n", "1000") == before
    assert len(before["memories"]) == 120


async def test_broken_lines_are_told_by_number_and_the_rest_goes_in(
    reverie: Command, user: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "memories.jsonl", 60, broken=(1, 30))
    with file.open("a") as more:
        more.write('{"text": "%s", "occurred_at": "2025"}\n' % ("x" * 40_000))
        more.write('{"text": "fine", "occurred_at": "2025", "language": "no tag!"}\n')
    printed = await reverie("import", str(file), "--user", user, "-o", "json")
    assert printed.code == 1
    report = printed.json
    assert (report["added"], report["broken"]) == (58, 4)
    assert [error["where"] for error in report["errors"]] == ["line 1", "line 30", "line 61", "line 62"]
    assert "memory.text" in report["errors"][2]["reason"]
    assert "memory.language" in report["errors"][3]["reason"]
    assert "line 30 is no JSON" in printed.stderr


@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, ""), (signal.SIGINT, "what is in stays in")])
async def test_an_import_that_was_stopped_goes_on_where_it_stopped(
    reverie: Command, platform: Platform, user: str, tmp_path: Path, number: signal.Signals, said: str
) -> None:
    file = str(write(tmp_path / "memories.jsonl", MANY))
    endpoint = platform.endpoint
    token = platform.token(user=user)
    async with reverie_client.connect(endpoint.public, ca=endpoint.ca, token=token) as connection:
        importing = await reverie.start("import", file, "--user", user, "--batch", "4")
        await some_are_in(connection.user(user))
        importing.send_signal(number)
        assert said in (await importing.communicate())[1].decode()
        there = await count(connection.user(user))
        assert 0 < there < MANY
        report = await reverie.json("import", file, "--user", user)
        assert report["added"] + report["already_there"] == MANY
        assert report["already_there"] >= there
        assert await count(connection.user(user)) == MANY


async def test_an_import_survives_the_death_of_a_service(
    reverie: Command, platform: Platform, user: str, tmp_path: Path
) -> None:
    file = str(write(tmp_path / "memories.jsonl", MANY))
    endpoint = platform.endpoint
    token = platform.token(user=user)
    async with reverie_client.connect(endpoint.public, ca=endpoint.ca, token=token) as connection:
        importing = await reverie.start("import", file, "--user", user, "--batch", "4", "-o", "json")
        await some_are_in(connection.user(user))
        platform.kill("ingest-a-0")
        stdout, stderr = await asyncio.wait_for(importing.communicate(), 2 * WITHIN)
        assert importing.returncode == 0, stderr
        assert json.loads(stdout)["broken"] == 0
        assert await count(connection.user(user)) == MANY
    await platform.wait_healthy()


async def test_what_was_deleted_is_not_brought_back(reverie: Command, user: str, tmp_path: Path) -> None:
    file = str(write(tmp_path / "memories.jsonl", 3))
    await reverie.json("import", file, "--user", user)
    listed = await reverie.json("timeline", "--user", user)
    await reverie.json("delete", listed["memories"][0]["id"], "--user", user)
    again = await reverie.json("import", file, "--user", user)
    assert (again["added"], again["already_there"], again["deleted_before"]) == (0, 2, 1)


async def test_a_key_with_other_content_is_told(reverie: Command, user: str, tmp_path: Path) -> None:
    file = write(tmp_path / "memories.jsonl", 2)
    await reverie.json("import", str(file), "--user", user)
    file.write_text(file.read_text().replace("memory number 2", "another memory"))
    printed = await reverie("import", str(file), "--user", user)
    assert printed.code == 1
    assert "line 2 is there already with other content" in printed.stderr


async def test_locomo_makes_a_user_of_each_conversation(reverie: Command, tmp_path: Path) -> None:
    prefix = f"p{uuid4()}"
    turns = [{"speaker": "Ana", "dia_id": f"D1:{n}", "text": f"turn {n}"} for n in range(1, 4)]
    samples = [
        {
            "sample_id": name,
            "conversation": {"session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": turns},
        }
        for name in ("one", "two")
    ]
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps(samples))
    report = await reverie.json("import", str(path), "--format", "locomo", "--user", prefix)
    assert (report["users"], report["added"]) == ([f"{prefix}-one", f"{prefix}-two"], 6)
    found = await reverie.json("search", "turn 2", "--user", f"{prefix}-two", "-n", "1", "--before", "1")
    assert found["hits"][0]["memory"]["source"] == {
        "conversation": "session_1", "speaker": "Ana", "position": 1,
    }  # fmt: skip
    assert [memory["text"] for memory in found["hits"][0]["before"]] == ["turn 1"]
