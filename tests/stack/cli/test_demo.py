import asyncio
import subprocess
import sys
from pathlib import Path

from ops.cli import demonstration
from ops.local.platform import Platform
from tests.stack.cli.command import Command


async def test_the_demo_answers_its_questions_and_again_only_does_what_is_missing(reverie: Command) -> None:
    first = await reverie.json("demo")
    assert [len(answer["hits"]) for answer in first["answers"]] == [2] * 5
    assert first["imports"][0]["added"] > 300
    assert len(first["on_this_day"]) == 2
    again = await reverie("demo")
    assert again.code == 0, again
    assert "0 added" in again.stdout
    for question in demonstration.QUESTIONS:
        assert question in again.stdout
    assert "storage-a-0" in again.stdout
    assert "What to type next:" in again.stdout


async def test_what_the_demo_says_to_type_next_works(
    reverie: Command, platform: Platform, tmp_path: Path
) -> None:
    await reverie.json("demo")
    (tmp_path / "token").write_text((await reverie("token", "--user", "ines")).stdout)
    endpoint = platform.endpoint
    for program in (demonstration.client_snippet(endpoint), demonstration.stubs_snippet(endpoint)):
        lines = "\n".join(line.removeprefix("  ") for line in program)
        printed = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, timeout=60
        )
        assert printed.returncode == 0, printed.stderr.decode()
        assert "boiler" in printed.stdout.decode()
