from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.memory.v1.memory_pb2 import Memory
from reverie.storage.v1.write_pb2 import Content
from services.ingest.content import OUTPUT_ONLY, fill, local_date
from services.ingest.validation import EARLIEST, LATEST
from services.runtime.terms import ANALYZER, Trait, question_terms
from tests.unit.ingest.memories import accepted, plain


def filled(memory: Memory) -> Content:
    content = Content()
    fill(content, memory)
    return content


@given(accepted())
@settings(max_examples=50)
def test_what_the_client_said_is_kept(memory: Memory) -> None:
    kept = filled(memory).memory
    kept.kind = memory.kind
    kept.occurred_precision = memory.occurred_precision
    assert kept == memory


def test_the_request_is_left_as_it_came() -> None:
    memory = plain(revision=5)
    filled(memory)
    assert memory == plain(revision=5)


def test_what_is_unsaid_is_taken_as_a_note_at_an_instant() -> None:
    kept = filled(plain()).memory
    assert (kept.kind, kept.occurred_precision) == (1, 4)


def test_every_field_that_says_output_only_is_cleared() -> None:
    kept = filled(plain(name="n", revision=5, etag="5")).memory
    assert not any(field.name in OUTPUT_ONLY for field, _ in kept.ListFields())


def test_a_memory_is_found_by_text_date_place_people_and_labels() -> None:
    memory = plain(people=["Caroline"], labels=["pets"])
    memory.place.name = "Lisbon"
    content = filled(memory)
    terms = {content.terms[at : at + 4] for at in range(0, len(content.terms), 4)}
    for word in ("adopt", "cats", "2023", "Caroline", "pets", "Lisbon"):
        assert all(term.hash.to_bytes(4, "little") in terms for term in question_terms(word)), word
    assert content.analyzer == ANALYZER


def test_traits_are_stored_as_bits() -> None:
    assert filled(plain(text="Did we meet last week?")).traits == Trait.QUESTION | Trait.TIME_EXPRESSION


@given(st.integers(EARLIEST, LATEST - 1), st.integers(-18 * 60, 18 * 60))
def test_the_day_is_that_of_the_persons_own_clock(seconds: int, minutes: int) -> None:
    memory = Memory()
    memory.occurred_at.seconds = seconds
    memory.occurred_utc_offset.seconds = minutes * 60
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, minutes=minutes)
    assert local_date(memory) == expected.date()


def test_late_in_the_evening_is_the_next_day_further_east() -> None:
    memory = Memory()
    memory.occurred_at.seconds = 1_683_503_999
    assert local_date(memory) == date(2023, 5, 7)
    memory.occurred_utc_offset.seconds = 60
    assert local_date(memory) == date(2023, 5, 8)
