"""The command as a whole, as far as it needs no platform."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from ops.cli import backlog, failures
from ops.cli.failures import CommandError
from ops.cli.main import program
from ops.local.home import HomeError, NotRunningError
from ops.local.pki import PkiError
from ops.local.ports import PortTakenError
from ops.local.valkey import ValkeyMissingError
from reverie_client import errors
from reverie_client.operator import QueueStats, StageStats
from services.runtime.embedder import EMBEDDERS

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("grpc", "google", "numpy", "asyncpg", "onnxruntime", "cryptography", "reverie_client", "rich.table")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from leaves(each, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(program())))


def run(*arguments: str, home: Path | None = None, **more: str) -> Any:
    environment = {
        "REVERIE_HOME": str(home or "/nonexistent"),
        "REVERIE_USER": "",
        "REVERIE_TOKEN": "",
        **more,
    }
    return CliRunner().invoke(program(), list(arguments), env=environment)


def test_every_command_that_was_promised_is_there() -> None:
    promised = """up down status restart logs token doctor import add get update delete search timeline
        on-this-day
        demo bench drill queue·stat dlq·list dlq·show dlq·replay"""
    assert {"·".join(path) for path in COMMANDS} == set(promised.split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{' '.join(path)} {parameter.name}"
    assert run(*path, "--help").exit_code == 0


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_breaks_lines_only_where_the_terminal_ends(path: tuple[str, ...]) -> None:
    printed = run(*path, "--help", COLUMNS="100").stdout
    for paragraph in (COMMANDS[path].help or "").split("\n\n"):
        assert "\n" not in paragraph
        assert paragraph[:90].rpartition(" ")[0] in printed


@pytest.mark.parametrize("command", ["up", "doctor", "demo"])
def test_help_says_which_ports_are_taken_without_a_choice(command: str) -> None:
    printed = " ".join(run(command, "--help", COLUMNS="200").stdout.split())
    assert "[default: (as last time, at first 8443)]" in printed
    assert "[default: (as last time, at first 8444)]" in printed


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_can_answer_in_json(path: tuple[str, ...]) -> None:
    assert "-o" in {name for parameter in COMMANDS[path].params for name in parameter.opts}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ops.cli.main import program; program();"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ("search", "where?"),
        ("timeline",),
        ("on-this-day",),
        ("add", "a note"),
        ("update", "01890a5d-ac96-774b-bcce-b302099a8057", "--text", "x"),
        ("delete", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ("queue", "stat"),
        ("dlq", "list"),
        ("dlq", "show", "x"),
        ("dlq", "replay", "--all"),
        ("import", "-"),
        ("bench", "ingest", "--running"),
    ],
)
def test_where_nothing_runs_one_line_says_how_to_start_it(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*arguments, "-o", "json", home=tmp_path)
    assert result.exit_code == failures.COULD_NOT_RUN
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "no platform runs" in line
    assert "reverie up" in line


def test_of_a_platform_that_does_not_run_status_ends_with_3_and_all_others_with_2(tmp_path: Path) -> None:
    codes = {name: run(name, home=tmp_path / "none").exit_code for name in ("status", "token", "logs")}
    assert codes == {"status": 3, "token": 2, "logs": 2}


def test_help_says_how_commands_end() -> None:
    assert "Exit code 0: done" in run("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("get", "lemon"), "'lemon' is no id"),
        (("delete", "users/ines/memories/lemon"), "is no id"),
        (("search", "x", "--since", "soon"), "--since: 'soon' is no time"),
        (("timeline", "--until", "2025-13"), "--until: '2025-13' is no time"),
        (("on-this-day", "--on", "today"), "--on: 'today' is no day"),
        (("add", "x", "--at", "soon"), "--at: 'soon' is no time"),
        (("add", "x", "--ended", "soon"), "--ended: 'soon' is no time"),
        (("add", "x", "--id", "123"), "--id: '123' is no UUID"),
        (("add", "x", "--speaker", "Rita"), "--speaker and --position need --conversation"),
        (("add", "x", "--latitude", "5"), "--latitude and --longitude need --place"),
        (("update", "01890a5d-ac96-774b-bcce-b302099a8057"), "say what to change"),
        (("update", "01890a5d-ac96-774b-bcce-b302099a8057", "--clear", "text"), "--clear knows ended"),
        (("import",), "name the file to import"),
        (("import", "/nonexistent/file.jsonl"), "/nonexistent/file.jsonl: No such file"),
        (("import", __file__, "--format", "locomo"), "is no JSON"),
        (("dlq", "replay"), "name dead letters, or say --all"),
        (("dlq", "replay", "a", "--all"), "name dead letters, or say --all"),
        (("bench",), "name a bench"),
        (("bench", "nonsense"), "name a bench"),
    ],
)
def test_what_is_typed_wrongly_is_told_in_one_line(arguments: tuple[str, ...], why: str) -> None:
    result = run(*arguments)
    assert result.exit_code == failures.COULD_NOT_RUN
    (line,) = result.stderr.splitlines()
    assert line.startswith("reverie: ")
    assert why in line


@pytest.mark.parametrize(
    "arguments",
    [("search",), ("add", "x", "--kind", "dream"), ("bench", "all", "--embedder", "x"), ("nonsense",)],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_search_for_more_than_it_ranks_is_refused(tmp_path: Path) -> None:
    refused = run("search", "x", "-n", "201", home=tmp_path, COLUMNS="200")
    assert refused.exit_code == 2
    assert "less than or equal to 200" in refused.stderr
    assert "no platform runs" in run("search", "x", "-n", "200", home=tmp_path).stderr


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([], ["nothing is due, and no analysis was given up"]),
        (
            [StageStats("EMBED", 1, 5, 2, 0, timedelta(seconds=3))],
            ["stage model ready waiting dead oldest", "EMBED 1 5 2 0 3.0 s", "7 due, 0 dead"],
        ),
    ],
)
def test_a_queue_is_a_table_only_where_it_has_rows(
    stages: list[StageStats], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = QueueStats(stages, sum(each.ready + each.waiting for each in stages), 0, None)
    monkeypatch.setattr(backlog, "stats", lambda home: stats)
    assert [" ".join(line.split()) for line in run("queue", "stat").stdout.splitlines()] == said


def test_every_embedder_there_is_can_be_chosen() -> None:
    for command in ("up", "bench"):
        assert f"<{'|'.join(EMBEDDERS)}>" in run(command, "--help", COLUMNS="200").stdout


def test_benches_are_listed() -> None:
    result = run("bench", "--list", "-o", "json")
    assert result.exit_code == 0
    assert {each["name"] for each in json.loads(result.stdout)["benches"]} >= {"ingest", "read", "retrieval"}


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (CommandError("so it is"), 1, "so it is"),
        (CommandError("so it is", code=2), 2, "so it is"),
        (errors.Unreachable("connect: Connection refused"), 2, "`reverie up`"),
        (errors.StoreDown("the database does not answer"), 1, "`reverie status`"),
        (errors.MemoryNotFound("there is no such memory"), 1, "`reverie timeline`"),
        (errors.EtagMismatch("the memory has changed"), 1, "`reverie get`"),
        (errors.InvalidArgument("text: is empty"), 2, "text: is empty"),
        (errors.UserForbidden("the token is not for this user"), 2, "users:*"),
        (errors.Unauthenticated("Jwt is expired"), 2, "$REVERIE_TOKEN"),
        (errors.Overloaded("too much is under way"), 1, "try again"),
        (errors.MemoryExists("the id holds another"), 1, "the id holds another"),
        (HomeError("name another home with --home"), 2, "--home"),
        (NotRunningError("start it with `reverie up`"), 2, "`reverie up`"),
        (PkiError("remove it"), 2, "remove it"),
        (PortTakenError("choose another with --port"), 2, "--port"),
        (ValkeyMissingError("install it"), 2, "install it"),
        (FileNotFoundError("no PostgreSQL: install it"), 2, "install it"),
        (TimeoutError("not well within 60 s"), 1, "not well"),
        (FileNotFoundError(2, "No such file or directory", "a.jsonl"), 2, "a.jsonl: No such file"),
    ],
)
def test_expected_errors_say_what_to_do_next_and_end_with_their_code(
    error: Exception, code: int, hint: str
) -> None:
    told = failures.tell(error)
    assert told is not None
    assert told[1] == code
    assert hint in told[0]
    assert "\n" not in told[0]


def test_an_error_tells_what_came_before_it() -> None:
    late = errors.DeadlineExceeded("time ran out")
    late.__cause__ = errors.StoreDown("the database does not answer")
    told = failures.tell(late)
    assert told is not None
    assert "before that: the database does not answer" in told[0]


def test_a_bug_keeps_its_traceback() -> None:
    assert failures.tell(KeyError("oops")) is None
    assert failures.tell(OSError("no file")) is None
    assert failures.tell(TimeoutError()) is None
    assert failures.tell(TimeoutError(110, "Connection timed out")) is None
