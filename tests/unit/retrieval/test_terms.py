import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import terms, time_expressions
from services.runtime.terms import (
    Precision,
    Trait,
    question_terms,
    stems,
    term_hash,
    terms_and_traits,
    words,
)

# Quotes, accents, letters and digits of other scripts, signs that decompose, and words that tell times.
FRAGMENTS = st.sampled_from(
    (*"aZ09 '_-.,\n\t!\"", *"’‘“”—…éÉçãÿßªµ½×´¨÷ıİKſ™²ﬁ猫かガ٢\u0301\u3099\u00a0",  # noqa: RUF001
     "20", "19", "2019", "may", "march", "last", "week", "weeks", "yesterday", "monday", "ago", "for", "the",
     "other", "day", "in", "next", "few", "don't", "7th", "couple", "of", "last week", "for a", "mày", "july")
)  # fmt: skip
MIXED = st.lists(FRAGMENTS, max_size=14).map("".join)
TEXTS = MIXED | st.lists(FRAGMENTS, max_size=14).map(" ".join) | st.text(max_size=60)


def memory_terms(text: str, occurred_on: date | None = None, precision: int = Precision.DAY) -> bytes:
    return terms_and_traits(text, occurred_on, precision)[0]


def traits(text: str) -> Trait:
    return terms_and_traits(text)[1]


def hashes(blob: bytes) -> list[int]:
    return [int(number) for number in np.frombuffer(blob, "<u4")]


def test_a_question_finds_the_words_of_a_memory_in_other_forms() -> None:
    memory = hashes(memory_terms("We adopted two cats."))
    asked = [term.hash for term in question_terms("When did she adopt a cat?")]
    assert set(asked) <= set(memory)


def test_words_that_say_nothing_are_left_out() -> None:
    assert memory_terms("I don't know what it is that they've had.") == memory_terms("know")


def test_a_repeated_word_is_repeated() -> None:
    assert hashes(memory_terms("cat Cat CATS")) == [term_hash("cat")] * 3
    assert [term.stem for term in question_terms("cat and cats")] == ["cat", "cat"]


def test_terms_are_little_endian_numbers_that_never_change() -> None:
    # Stored in databases: another value here means that every memory must be analysed anew.
    assert memory_terms("cat") == bytes.fromhex("a8435e9e")


def test_a_question_term_tells_word_stem_and_hash() -> None:
    [term] = question_terms("the Pottery-")
    assert term == ("pottery", "potteri", term_hash("potteri"))


def test_accents_quotes_and_ordinals_do_not_matter() -> None:
    assert memory_terms("Café on the 7th, Zoë\N{RIGHT SINGLE QUOTATION MARK}s") == memory_terms(
        "cafe 7 zoe's"
    )


def test_scripts_without_spaces_are_found_by_character_and_by_pair() -> None:
    memory = set(hashes(memory_terms("我喜欢猫")))
    assert {term.hash for term in question_terms("猫")} <= memory
    assert {term.hash for term in question_terms("喜欢")} <= memory


def test_the_date_is_told_as_far_as_it_is_known() -> None:
    day = date(2023, 5, 7)

    def told(precision: Precision) -> set[int]:
        return set(hashes(memory_terms("", day, precision)))

    def named(text: str) -> set[int]:
        return {term.hash for term in question_terms(text)}

    assert told(Precision.INSTANT) == told(Precision.DAY) == named("Sunday 7 May 2023")
    assert told(Precision.MONTH) == named("May 2023")
    assert told(Precision.YEAR) == named("2023")
    assert not hashes(memory_terms("", None))


def test_place_people_and_labels_are_words_too() -> None:
    memory, _ = terms_and_traits("Dinner", place="Lisbon", people=["Ana Sousa"], labels=["food"])
    assert set(hashes(memory)) == {term.hash for term in question_terms("dinner Lisbon Ana Sousa food")}


def test_very_long_words_are_cut_alike_in_memory_and_question() -> None:
    [term] = question_terms("x" * 500)
    assert hashes(memory_terms("x" * 400)) == [term.hash]


@given(st.text(max_size=200))
def test_any_text_has_terms_of_four_bytes_each_and_finds_itself(text: str) -> None:
    blob = memory_terms(text)
    assert hashes(blob) == [term.hash for term in question_terms(text)]


@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=2))
def test_terms_are_those_of_all_words_in_one_text(text: str, place: str, people: list[str]) -> None:
    whole = " ".join((text, "7 May 2023 Sunday", place, *people))
    expected = [term_hash(stem) for word in words(whole) for stem in stems(word)]
    found, _ = terms_and_traits(text, date(2023, 5, 7), Precision.DAY, place=place, people=people)
    assert hashes(found) == expected


@given(TEXTS)
def test_a_time_is_told_where_the_expression_is_found(text: str) -> None:
    expression = re.compile(time_expressions._TIME_EXPRESSION.pattern.replace(r"\W", r"\b", 1))
    is_told = expression.search(text.lower()) is not None
    assert bool(traits(text) & Trait.TIME_EXPRESSION) == is_told
    assert time_expressions.tells_time(text) == is_told


@given(st.lists(TEXTS, max_size=5))
def test_what_is_no_longer_remembered_is_found_out_again(texts: list[str]) -> None:
    expected = [terms_and_traits(text) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terms._Known, "latest", terms._Known())
        patch.setattr(terms, "_REMEMBERED_RUNS", 2)
        assert [terms_and_traits(text) for text in texts] == expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_terms_of_joined_texts_are_the_terms_of_both(first: str, second: str) -> None:
    assert memory_terms(f"{first}\n{second}") == memory_terms(first) + memory_terms(second)


@given(st.text(max_size=50))
def test_words_hold_no_blanks_and_are_lower_case(text: str) -> None:
    for word in words(text):
        assert word
        assert not any(character.isspace() for character in word)
        assert word == word.lower()


def test_threads_get_the_same_terms_and_traits(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"running{n} cats jumped last week's {n} fences" for n in range(300)]
    expected = [terms_and_traits(text) for text in texts]
    monkeypatch.setattr(terms._Known, "latest", terms._Known())
    monkeypatch.setattr(terms, "_REMEMBERED_RUNS", 20)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(terms_and_traits, texts)) == expected


def test_importing_terms_does_not_load_the_stemmer() -> None:
    import subprocess

    code = "import sys, services.runtime.terms; sys.exit('Stemmer' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_memory_that_tells_a_time_is_marked() -> None:
    for text in ["I went there last Friday", "We met in 2019.", "two weeks ago", "in May", "yesterday"]:
        assert traits(text) & Trait.TIME_EXPRESSION, text
    for text in ["You may march on", "I like cats", "My friend is 25", "She has 1950s"]:
        assert not traits(text) & Trait.TIME_EXPRESSION, text


def test_a_memory_that_ends_by_asking_is_marked() -> None:
    assert traits('She said "what about you?"') & Trait.QUESTION
    assert traits("你喜欢猫吗？") & Trait.QUESTION  # noqa: RUF001 - a full-width question mark
    assert not traits("Why not? I did it.") & Trait.QUESTION
