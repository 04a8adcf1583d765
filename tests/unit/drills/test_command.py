"""The command: what it prints and how it ends, with drills that are over at once."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli.main import program
from ops.drills import registry, stage
from ops.drills.drill import CannotRunError
from ops.drills.record import Record, Verdict
from ops.drills.sabotage import Sabotage
from tests.unit.drills.records import FINE, record

FAILED = record(verdict=Verdict.FAIL, lost=1, broken=("lost is 1, and was to be at most 0",))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(program(), ["drill", *arguments])


def told(monkeypatch: pytest.MonkeyPatch, *records: Record) -> list[stage.Options]:
    """Stands in for the stage: gives these records, and tells how it was asked."""
    asked: list[stage.Options] = []

    async def give(_drills: Any, options: stage.Options) -> AsyncGenerator[Record, None]:
        asked.append(options)
        for each in records:
            yield each

    monkeypatch.setattr(stage, "run", give)
    return asked


def test_every_drill_is_listed_with_hypothesis_and_forms() -> None:
    listed = json.loads(run("--list", "-o", "json").stdout)["drills"]
    assert [each["name"] for each in listed] == [*registry.NAMES]
    assert all(each["hypothesis"] and set(each["zones"]) <= {1, 3} for each in listed)


def test_a_record_is_a_line_of_json_and_the_verdict_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, FINE, FINE)
    result = run("kill-service", "--zones", "3", "-o", "json")
    assert result.exit_code == 0
    assert [Record.of_json(line) for line in result.stdout.splitlines()] == [FINE, FINE]

    told(monkeypatch, FINE, FAILED, FINE)
    result = run("all", "-o", "json")
    assert result.exit_code == 1
    assert "lost is 1" in result.stderr


def test_for_people_there_is_a_table_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, FINE)
    result = run("kill-service")
    assert result.exit_code == 0
    assert "kill-service" in result.stdout
    assert "0 of 2200" in result.stdout


def test_options_reach_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = told(monkeypatch, FINE)
    run("kill-service", "--zones", "3", "--times", "4", "--seed", "9", "--sabotage", "lose", "--running")
    (options,) = asked
    assert (options.zones, options.times, options.seed, options.sabotage, options.running) == (
        3, 4, 9, Sabotage.LOSE, True,
    )  # fmt: skip


def test_what_can_not_take_place_ends_with_2_and_what_was_done_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(_drills: Any, _options: stage.Options) -> AsyncGenerator[Record, None]:
        yield FINE
        raise CannotRunError("the platform is not well within 60 s")

    monkeypatch.setattr(stage, "run", fail)
    result = run("kill-service")
    assert result.exit_code == 2
    assert "not well within 60 s" in result.stderr
    assert "0 of 2200" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name a drill: kill-service"),
        (("kill-everything",), "there are kill-service"),
        (("kill-zone", "--zones", "1"), "kill-zone is not for 1 zones"),
        (("kill-service", "--sabotage", "burn"), "'burn' is none of lose, twice"),
        (("kill-service", "--sabotage", "lose", "--docs", "docs"), "a sabotaged drill says nothing"),
    ],
)
def test_what_is_asked_wrongly_ends_with_2_and_says_what_there_is(
    arguments: tuple[str, ...], says: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
