"""How a file goes in, with a platform that keeps names only."""

import io
import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from ops.cli import importer
from ops.cli.failures import CommandError
from ops.cli.formats import jsonl
from ops.cli.importer import Source, import_into
from reverie_client import AnalysisState, Created, NewMemory, Outcome, Reverie, errors
from tests.unit.cli.test_jsonl import NOW


@dataclass
class Names:
    """Stands for a connection; known names have the revision they came with."""

    known: dict[str, int] = field(default_factory=dict)
    fails_at: int | None = None

    def user(self, name: str) -> "NamesOfUser":
        return NamesOfUser(self, name)

    def as_reverie(self) -> Reverie:
        return cast("Reverie", self)


@dataclass
class NamesOfUser:
    names: Names
    user_id: str
    consistency_token: str | None = None

    async def analysis_state(self) -> AnalysisState:
        return AnalysisState(0, None, 0)

    async def create_stream(self, new: Iterable[NewMemory], *, frame: int) -> AsyncGenerator[Outcome, None]:
        known = self.names.known
        for number, each in enumerate(new):
            if number == self.names.fails_at:
                raise errors.Unreachable("connection refused")
            assert each.id is not None
            parent = f"users/{self.user_id}"
            revision = known.setdefault(f"{parent}/memories/{each.id}", len(known) + 1)
            yield Outcome(each, Created(parent, each.id, revision, str(revision)))


def lines(count: int, broken: Iterable[int] = ()) -> bytes:
    def each() -> Iterator[bytes]:
        for number in range(1, count + 1):
            good = {"key": str(number), "text": f"memory {number}", "occurred_at": "2025"}
            yield b"{oops" if number in broken else json.dumps(good).encode()

    return b"\n".join(each())


def source(content: bytes, user: str = "ines") -> Source:
    entries = jsonl.read(io.BytesIO(content), user, NOW)
    return Source("file.jsonl", [(user, entries)], lambda: None)


async def test_every_memory_goes_in_and_is_counted() -> None:
    names = Names()
    report = await import_into(names.as_reverie(), source(lines(20)), batch=5, wait=True)
    assert (report.tally.added, report.tally.broken, len(names.known)) == (20, 0, 20)
    assert report.users == ("ines",)
    assert report.analysed_after is not None
    assert not report.failed


async def test_broken_lines_are_told_by_number_and_the_rest_goes_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = await import_into(
        Names().as_reverie(), source(lines(20, broken=(1, 7, 20))), batch=5, wait=False
    )
    assert (report.tally.added, report.tally.broken) == (17, 3)
    assert [each.where for each in report.tally.listed] == ["line 1", "line 7", "line 20"]
    told = capsys.readouterr()
    assert told.out == ""
    assert "line 7 is no JSON" in told.err
    assert report.failed


async def test_the_same_file_again_makes_no_new_name() -> None:
    names = Names()
    await import_into(names.as_reverie(), source(lines(20)), batch=5, wait=False)
    before = dict(names.known)
    await import_into(names.as_reverie(), source(lines(20)), batch=5, wait=False)
    assert names.known == before


async def test_a_stream_that_fails_for_good_ends_the_import_with_what_is_in() -> None:
    names = Names(fails_at=12)
    report = await import_into(names.as_reverie(), source(lines(20)), batch=5, wait=True)
    assert report.tally.added == 12
    assert "nothing answers" in report.stopped
    assert report.analysed_after is None
    names.fails_at = None
    again = await import_into(names.as_reverie(), source(lines(20)), batch=5, wait=False)
    assert (len(names.known), again.stopped) == (20, "")


async def test_a_call_that_fails_before_anything_is_in_is_raised() -> None:
    with pytest.raises(errors.Unreachable):
        await import_into(Names(fails_at=0).as_reverie(), source(lines(20)), batch=5, wait=False)


async def test_parts_go_to_users_of_their_own() -> None:
    names = Names()
    parts = [(user, jsonl.read(io.BytesIO(lines(3)), user, NOW)) for user in ("a", "b")]
    report = await import_into(names.as_reverie(), Source("file", parts, lambda: None), batch=5, wait=False)
    assert report.users == ("a", "b")
    assert sum(name.startswith("users/b/") for name in names.known) == 3


def test_a_file_is_opened_as_a_stream_that_knows_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_bytes(lines(5_000))
    opened = importer.open_source(path, "jsonl", "ines")
    ((user, entries),) = opened.parts
    assert user == "ines"
    assert opened.position() == 0.0
    for _ in range(1000):
        next(entries)
    position = opened.position()
    assert position is not None
    assert 0.0 < position < 0.5
    assert sum(1 for _ in entries) == 4_000
    assert opened.position() == 1.0


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        importer.open_source(tmp_path / "none.jsonl", "jsonl", "ines")
    with pytest.raises(CommandError, match="name the file"):
        importer.open_source(None, "jsonl", "ines")
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(CommandError, match="is no LoCoMo file"):
        importer.open_source(path, "locomo", "bench")
