from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ops.drills.journal import Journal, Kind, Outcome, digest_of, mark_of
from ops.drills.people import outcome_of
from reverie.memory.v1 import memory_pb2
from reverie_client import NewMemory, Source, errors
from reverie_client.content import to_message

ID = UUID(int=1)


def _memory(text: str = "The ferry was late.") -> memory_pb2.Memory:
    then = datetime(2024, 5, 17, tzinfo=UTC)
    return to_message(NewMemory(text, occurred_at=then, source=Source("talk", "Ada", 7)))


def test_a_digest_is_of_what_clients_set() -> None:
    kept = _memory()
    kept.name, kept.etag, kept.revision = "users/ada/memories/1", "x", 7
    kept.create_time.GetCurrentTime()
    kept.update_time.GetCurrentTime()
    kept.analysis.add(stage="embed")
    assert digest_of(kept) == digest_of(_memory())


@given(st.sampled_from(["text", "language", "labels", "people"]))
def test_a_digest_changes_with_every_field_that_clients_set(name: str) -> None:
    changed = _memory()
    value = getattr(changed, name)
    if isinstance(value, str):
        setattr(changed, name, f"{value}x")
    else:
        value.append("x")
    assert digest_of(changed) != digest_of(_memory())


def test_a_mark_outlives_every_change_of_the_text() -> None:
    assert mark_of(_memory()) == mark_of(_memory("It was early.")) == "talk/7"


def test_until_an_outcome_is_noted_nobody_knows_it() -> None:
    journal = Journal()
    operation = journal.begin("ada", ID, Kind.CREATE, b"1", "talk/1", 1.0)
    assert (operation.outcome, journal.promised(ID)) == (Outcome.UNKNOWN, -1)
    journal.end(operation, Outcome.OK, 2.0)
    assert (operation.ended, journal.promised(ID)) == (2.0, 0)


def test_an_unknown_operation_changes_what_may_be_there_not_what_is_promised() -> None:
    journal = Journal()
    journal.end(journal.begin("ada", ID, Kind.CREATE, b"1", "talk/1", 1.0), Outcome.OK, 1.0)
    journal.begin("ada", ID, Kind.DELETE, None, "talk/1", 2.0)
    (history,) = journal.of("ada")
    assert history.promised == 0
    assert {*history.states_since(0)} == {b"1", None}


def test_only_an_answer_about_what_was_asked_for_says_that_nothing_happened() -> None:
    assert outcome_of(errors.EtagMismatch("")) is Outcome.REFUSED
    # An earlier try of the same call may have come through.
    for error in (errors.Overloaded, errors.Unavailable, errors.DeadlineExceeded, errors.InternalError):
        assert outcome_of(error("")) is Outcome.UNKNOWN
