from uuid import uuid4

import grpc
import pytest

from ops.cli.formats.entry import Broken
from ops.cli.tally import KEPT, Report, Tally
from reverie_client import Created, NewMemory, Outcome, Violation, errors


def created(revision: int) -> Outcome:
    receipt = Created("users/ines", uuid4(), revision, str(revision))
    return Outcome(NewMemory("x"), created=receipt)


def refused(error: errors.ReverieError) -> Outcome:
    return Outcome(NewMemory("x"), error=error)


def report(tally: Tally, stopped: str = "", dead: int = 0) -> Report:
    return Report("file.jsonl", ("ines",), tally, 1.5, stopped, None, dead)


def test_what_came_after_the_import_began_was_added_by_it() -> None:
    tally = Tally(lambda _: None)
    for revision in (41, 42, 43, 43):
        tally.take("line 1", created(revision), revision_before=42)
    assert (tally.added, tally.there, tally.settled) == (2, 2, 4)


def test_what_was_deleted_before_is_no_failure() -> None:
    tally = Tally(lambda _: None)
    tally.take("line 1", refused(errors.MemoryDeleted("gone")), 0)
    assert (tally.deleted, tally.broken) == (1, 0)
    assert not report(tally).failed


def test_every_refusal_is_told_by_its_line_with_all_that_is_wrong() -> None:
    told: list[str] = []
    tally = Tally(told.append)
    broken = errors.InvalidArgument(
        "broken", code=grpc.StatusCode.INVALID_ARGUMENT, violations=[Violation("memory.text", "is empty")]
    )
    tally.take("line 3", refused(broken), 0)
    tally.take("line 4", refused(errors.MemoryExists("other content")), 0)
    tally.take_broken(Broken("line 9", "is no JSON"))
    assert told == [
        "line 3 was refused: broken; memory.text: is empty",
        "line 4 is there already with other content: give it another key",
        "line 9 is no JSON",
    ]
    assert tally.broken == 3
    assert report(tally).failed


@pytest.mark.parametrize("kind", [errors.StoreDown, errors.UnknownOutcome, errors.Overloaded])
def test_what_did_not_go_in_for_now_is_not_called_refused(kind: type[errors.ReverieError]) -> None:
    told: list[str] = []
    tally = Tally(told.append)
    tally.take("line 3", refused(kind("try again")), 0)
    tally.take("line 4", refused(errors.DeadlineExceeded("too late")), 0)
    assert told == ["line 3 did not go in: try again", "line 4 did not go in: too late"]
    assert (tally.missed, tally.broken, tally.settled) == (2, 0, 2)
    assert report(tally).failed
    assert list(report(tally).lines())[-1] == "2 did not go in for now: type the same command again"


def test_a_report_lists_no_more_than_it_can_keep_but_counts_all() -> None:
    tally = Tally(lambda _: None)
    for number in range(KEPT + 5):
        tally.take_broken(Broken(f"line {number}", "is odd"))
    shown = report(tally).as_json()
    assert (shown["broken"], len(shown["errors"])) == (KEPT + 5, KEPT)


def test_an_import_that_stopped_or_left_dead_letters_has_failed() -> None:
    tally = Tally(lambda _: None)
    assert report(tally, stopped="nothing answers").failed
    assert report(tally, dead=1).failed
    assert "type the same command again" in list(report(tally, stopped="nothing answers").lines())[-1]


def test_a_report_for_a_person_says_only_what_there_is() -> None:
    tally = Tally(lambda _: None)
    tally.take("line 1", created(1), 0)
    assert list(report(tally).lines()) == ["file.jsonl: 1 added, in 1.5 s (ines)"]
