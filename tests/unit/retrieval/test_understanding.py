from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.understanding import NO_SPEAKER, Question, understand
from services.runtime.terms import TimeUnit

TODAY = date(2024, 3, 13)
SPEAKERS = ["Caroline", "James", "Maria Lopez", "Will"]


def understood(text: str, speakers: Sequence[str] = SPEAKERS, user: str = "demo") -> Question:
    return understand(text, speakers=speakers, user=user, today=TODAY)


def stems(question: Question) -> list[str]:
    return [term.stem for term in question.terms]


def test_a_named_speaker_leaves_the_words_and_becomes_i_in_the_text_to_embed() -> None:
    question = understood("When did Caroline adopt Caroline\N{RIGHT SINGLE QUOTATION MARK}s cat?")
    assert question.speakers == ("Caroline",)
    assert stems(question) == ["adopt", "cat"]
    assert question.text_to_embed == "When did I adopt my cat?"


def test_a_possessive_of_a_name_in_s_becomes_my() -> None:
    assert understood("What is James' job, and James's?").text_to_embed == "What is my job, and my?"


def test_a_speaker_is_named_by_the_first_name_too() -> None:
    assert understood("Where did Maria go?").text_to_embed == "Where did I go?"
    assert understood("Where did Maria Lopez go?").text_to_embed == "Where did I go?"
    assert understood("Where did Maria Lopez go?").speakers == ("Maria Lopez",)


def test_two_speakers_of_one_first_name_are_both_named() -> None:
    assert understood("Ana's cat", ["Ana Sousa", "Ana Lima"]).speakers == ("Ana Lima", "Ana Sousa")


def test_a_name_without_a_capital_counts_only_where_nothing_has_one() -> None:
    assert understood("when did caroline go").speakers == ("Caroline",)
    assert understood("Did I rose early?", ["Rose"]).speakers == (NO_SPEAKER,)


def test_a_name_that_memories_write_small_is_found_so() -> None:
    assert understood("What did the assistant tell Bob?", ["assistant"]).speakers == ("assistant",)


def test_a_name_that_is_a_word_is_not_taken_for_a_name_at_the_beginning() -> None:
    assert understood("Will Caroline come?").speakers == ("Caroline",)
    assert understood("What did Will say?").speakers == ("Will",)
    assert understood("what will happen").speakers == ()


def test_who_is_no_speaker_stays_a_word() -> None:
    question = understood("When did Oscar arrive?")
    assert question.speakers == ()
    assert stems(question) == ["oscar", "arriv"]


@pytest.mark.parametrize(
    "text", ["When did I adopt a cat?", "what is my cat called", "Tell me about the cat"]
)
def test_first_person_names_the_owner_and_memories_without_a_speaker(text: str) -> None:
    question = understood(text, ["Ana", "Bob"], user="ana")
    assert question.speakers == (NO_SPEAKER, "Ana")
    assert question.text_to_embed == text


def test_the_owner_is_known_by_address_and_by_words_for_oneself() -> None:
    assert understood("my cat", ["Ana", "user", "Me"], user="ana@example.org").speakers == (
        NO_SPEAKER,
        "Ana",
        "Me",
        "user",
    )


def test_the_owner_named_by_name_is_the_writer_of_memories_without_a_speaker() -> None:
    question = understood("Where was Ana?", ["Ana", "Bob"], user="ana")
    assert question.speakers == (NO_SPEAKER, "Ana")
    assert question.text_to_embed == "Where was I?"


def test_questions_for_a_time_are_known() -> None:
    for text in [
        "When did she go?",
        "What year was it",
        "how long ago",
        "And when is it?",
        "Since when is she ill",
    ]:
        assert understood(text).asks_for_time, text
    for text in ["What did she say when he left?", "Whenever", "What is it?", "How many cats"]:
        assert not understood(text).asks_for_time, text


def test_named_times_are_read() -> None:
    [time] = understood("What happened in May 2023?").times
    assert time.unit == TimeUnit.MONTH


def test_matched_hashes_are_explained_in_the_words_of_the_question() -> None:
    question = understood("Which pottery classes did Caroline take? Pottery!")
    assert question.matched_words([question.terms[0].hash]) == ["pottery"]
    assert question.matched_words([1]) == []


@given(st.text(max_size=80), st.lists(st.text(max_size=12), max_size=5), st.text(max_size=12))
def test_any_question_is_understood_and_names_only_known_speakers(
    text: str, speakers: list[str], user: str
) -> None:
    question = understood(text, speakers, user)
    assert set(question.speakers) <= {*speakers, NO_SPEAKER}
    assert len(question.hashes) == len(question.terms)


@given(st.text(max_size=80))
def test_without_speakers_the_text_to_embed_is_the_question(text: str) -> None:
    assert understood(text, [], user="\N{SNOWMAN}").text_to_embed == text
