from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.terms import NamedTime, TimeUnit, Trait, question_terms
from services.storage.columns import Columns, id_array
from services.storage.filtering import Filter
from services.storage.ranking import WEIGHTS, Question, rank, rescore, weights_of
from services.storage.segment import Delta, Segment
from tests.unit.retrieval.memories import Memory, id_of, numbers, segment_of, slow_words, unit

WORDS = ["cat", "dog", "tree", "house", "river", "lamp"]
DAY = 86_400_000_000


def asked(text: str = "", **fields: Any) -> Question:
    return Question(terms=[term.hash for term in question_terms(text)], **fields)


def found(segment: Segment, question: Question, only: Filter | None = None) -> list[int]:
    return numbers(rank(segment, question, only or Filter()).ids)


talks = st.lists(
    st.builds(
        Memory,
        number=st.integers(0, 40),
        text=st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join),
        conversation=st.sampled_from(["", "a", "b"]),
        position=st.integers(0, 6),
    ),
    max_size=25,
    unique_by=lambda each: each.number,
)


@given(talks, st.lists(st.sampled_from([*WORDS, "nowhere"]), unique=True, max_size=4))
def test_scores_by_words_are_those_of_the_formula(memories: list[Memory], terms: list[str]) -> None:
    question = asked(" ".join(terms))
    expected = slow_words(memories, question.terms)
    ranking = rank(segment_of(memories), question)
    assert dict(zip(numbers(ranking.ids), ranking.words, strict=True)) == pytest.approx(
        {number: score for number, score in expected.items() if score > 0}, rel=1e-4
    )


@given(talks, st.sampled_from(WORDS))
def test_matched_terms_are_those_that_a_memory_or_a_neighbour_holds(
    memories: list[Memory], word: str
) -> None:
    [term] = question_terms(word)
    ranking = rank(segment_of(memories), asked(word))
    assert ranking.terms.tolist() == [term.hash]
    assert ranking.matched.tolist() == [1] * len(ranking)


def test_a_word_said_twice_in_the_question_counts_twice() -> None:
    segment = segment_of([Memory(1, "cat"), Memory(2, "dog")])
    once, twice = rank(segment, asked("cat")), rank(segment, asked("cat cat"))
    assert twice.words[0] == pytest.approx(2 * once.words[0])


def test_the_neighbour_of_a_matching_turn_is_found_and_a_note_beside_it_is_not() -> None:
    segment = segment_of(
        [
            Memory(1, "Where is the cat?", "talk", position=1),
            Memory(2, "On the tree.", "talk", position=2),
            Memory(3, "On the tree."),
            Memory(4, "On the tree.", "other"),
        ]
    )
    assert found(segment, asked("cat")) == [1, 2]


def test_meaning_is_the_weighted_cosine_and_a_memory_without_a_vector_gets_the_mean() -> None:
    memories = [Memory(1, vector=unit(1)), Memory(2, vector=unit(2)), Memory(3)]
    question = asked("cat", vector=unit(7))
    ranking = rank(segment_of(memories), question)
    by_number = dict(zip(numbers(ranking.ids), ranking.meaning, strict=True))
    cosines = [float(unit(n) @ unit(7)) for n in (1, 2)]
    expected = [16 * cosines[0], 16 * cosines[1], 16 * sum(cosines) / 2]
    assert [by_number[n] for n in (1, 2, 3)] == pytest.approx(expected, abs=0.1)
    assert dict(zip(numbers(ranking.ids), ranking.vector_ranks, strict=True))[3] == 0


def test_cosines_may_be_given_instead_of_vectors() -> None:
    memories = [Memory(n, vector=unit(n)) for n in range(9)] + [Memory(10)]
    given_cosines = np.array([*(unit(n) @ unit(99) for n in range(9)), np.nan], np.float32)
    without = Segment.build(Columns.of(each.row() for each in memories), revision=1)
    left = rank(segment_of(memories), asked("cat", vector=unit(99)))
    right = rank(without, asked("cat", vector=unit(99)), cosines=given_cosines)
    assert left.ids == right.ids
    assert left.scores == pytest.approx(right.scores, abs=0.2)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60, unique=True), st.integers(0, 10_000))
def test_exact_cosines_put_the_ranking_in_exact_order(seeds: list[int], seed: int) -> None:
    memories = [Memory(n, vector=unit(n)) for n in seeds]
    ranking = rank(segment_of(memories), Question(vector=unit(seed)))
    exact = np.array([unit(n) @ unit(seed) for n in numbers(ranking.ids)])
    assert ranking.cosines == pytest.approx(exact, abs=0.01)
    exactly = rescore(ranking, exact)
    assert numbers(exactly.ids) == sorted(seeds, key=lambda n: -(unit(n) @ unit(seed)))
    assert exactly.scores == pytest.approx(16 * np.sort(exact)[::-1], abs=1e-5)


def test_rescoring_the_first_hits_leaves_the_others_and_those_without_a_vector() -> None:
    memories = [Memory(n, vector=unit(n)) for n in range(6)]
    ranking = rank(segment_of(memories), asked("cat", vector=unit(99)))
    swapped = rescore(ranking, np.array([-1.0, np.nan, 1.0]))
    assert numbers(swapped.ids)[:3] == [numbers(ranking.ids)[at] for at in (2, 1, 0)]
    assert swapped.ids[3:] == ranking.ids[3:]
    assert swapped.scores[3:] == pytest.approx(ranking.scores[3:])


def test_the_named_speaker_comes_first() -> None:
    segment = segment_of([Memory(1, speaker="Ana"), Memory(2, speaker="Ben"), Memory(3)])
    assert found(segment, asked("cat", speakers=["Ben"]))[0] == 2
    assert found(segment, asked("cat", speakers=[""]))[0] == 3
    assert found(segment, asked("cat", speakers=["Zoe"])) == found(segment, asked("cat"))


def test_a_speaker_of_whom_nothing_more_is_asked_is_found() -> None:
    segment = segment_of([Memory(1, speaker="Ana"), Memory(2, speaker="Ben")])
    assert found(segment, asked(speakers=["Ben"])) == [2]
    assert found(segment, asked("elephant", speakers=["Ben"])) == []


def test_a_memory_that_tells_a_time_answers_a_question_for_one() -> None:
    segment = segment_of([Memory(1), Memory(2, traits=Trait.TIME_EXPRESSION)])
    asks = rank(segment, asked("cat", asks_for_time=True))
    assert numbers(asks.ids) == [2, 1]
    assert asks.time.tolist() == [1.5, 0]
    assert rank(segment, asked("cat")).time.tolist() == [0, 0]


def test_a_memory_that_asks_comes_last() -> None:
    ranking = rank(segment_of([Memory(1, traits=Trait.QUESTION), Memory(2)]), asked("cat"))
    assert numbers(ranking.ids) == [2, 1]
    assert ranking.prior.tolist() == [0, -1.5]


def test_a_named_day_fits_from_the_day_before_to_ten_days_after() -> None:
    segment = segment_of(Memory(day, occurred_at=day * DAY) for day in range(30))
    question = asked(times=[NamedTime(10, 10, TimeUnit.DAY)])
    assert sorted(found(segment, question)) == list(range(9, 21))


def test_a_named_month_fits_inside_and_by_half_for_seventeen_days_after() -> None:
    segment = segment_of(Memory(day, occurred_at=day * DAY) for day in range(60))
    ranking = rank(segment, asked(times=[NamedTime(0, 30, TimeUnit.MONTH)]))
    fits = dict(zip(numbers(ranking.ids), ranking.time / 2, strict=True))
    assert {day for day, fit in fits.items() if fit == 1} == set(range(31))
    assert {day for day, fit in fits.items() if fit == 0.5} == set(range(31, 48))


def test_what_is_known_to_the_year_fits_a_year_and_not_a_day() -> None:
    whole_year = Memory(1).row()._replace(precision=1, occurred_at=0)
    segment = Segment.build(Columns.of([whole_year]), revision=1)
    assert not found(segment, asked(times=[NamedTime(100, 100, TimeUnit.DAY)]))
    assert found(segment, asked(times=[NamedTime(0, 364, TimeUnit.YEAR)])) == [1]


def test_what_took_days_fits_each_of_them() -> None:
    holiday = Memory(1).row()._replace(occurred_at=5 * DAY, occurred_until=15 * DAY)
    segment = Segment.build(Columns.of([holiday]), revision=1)
    assert found(segment, asked(times=[NamedTime(16, 16, TimeUnit.DAY)])) == [1]
    assert not found(segment, asked(times=[NamedTime(17, 17, TimeUnit.DAY)]))


FILTERED = [
    Memory(1, conversation="a", speaker="Ana", kind=1, labels="work", people="Bo", occurred_at=10),
    Memory(2, conversation="a", speaker="Ben", kind=2, labels="work\x1fhome", occurred_at=20, position=1),
    Memory(3, conversation="b", kind=3, people="Bo\x1fWork", occurred_at=30),
]


@pytest.mark.parametrize(
    ("only", "passing"),
    [
        (Filter(start=20), [2, 3]),
        (Filter(end=20), [1]),
        (Filter(start=10, end=30), [1, 2]),
        (Filter(kinds=[1, 3]), [1, 3]),
        (Filter(labels=["work"]), [1, 2]),
        (Filter(labels=["work", "home"]), [2]),
        (Filter(labels=["Work"]), []),
        (Filter(people=["Bo"]), [1, 3]),
        (Filter(people=["work"]), []),
        (Filter(speaker="Ben"), [2]),
        (Filter(speaker="ben"), []),
        (Filter(conversation="a"), [1, 2]),
        (Filter(conversation="c"), []),
        (Filter(conversation="a", people=["Bo"], start=5), [1]),
    ],
)
def test_a_filter_lets_through_what_meets_all_of_it(only: Filter, passing: list[int]) -> None:
    assert sorted(found(segment_of(FILTERED), asked("cat"), only)) == passing


def test_a_filter_changes_no_score_and_filtered_neighbours_still_speak() -> None:
    memories = [
        Memory(1, "the cat", "talk", speaker="Ana", position=0),
        Memory(2, "yes", "talk", speaker="Ben", position=1),
        Memory(3, "a cat, too", "talk", speaker="Ben", position=9),
    ]
    segment = segment_of(memories)
    whole, part = rank(segment, asked("cat")), rank(segment, asked("cat"), Filter(speaker="Ben"))
    scores = dict(zip(whole.ids, whole.scores, strict=True))
    assert sorted(numbers(part.ids)) == [2, 3]
    assert [scores[id_] for id_ in part.ids] == part.scores.tolist()
    assert sorted(part.lexical_ranks.tolist()) == [1, 2]


def test_ranks_count_what_passes_by_words_and_by_meaning_alone() -> None:
    memories = [Memory(n, "cat " * n, vector=unit(n)) for n in range(1, 8)] + [Memory(9, "dog")]
    ranking = rank(segment_of(memories), asked("cat", vector=unit(99)))
    by_words = sorted(range(len(ranking)), key=lambda at: -ranking.words[at])
    by_meaning = sorted(range(7), key=lambda n: -float(unit(n + 1) @ unit(99)))
    assert [ranking.lexical_ranks[at] for at in by_words] == [1, 2, 3, 4, 5, 6, 7]
    places = dict(zip(numbers(ranking.ids), ranking.vector_ranks, strict=True))
    assert [places[n + 1] for n in by_meaning] == [1, 2, 3, 4, 5, 6, 7]


@given(talks, st.integers(1, 30))
def test_the_parts_add_up_and_a_shorter_ranking_is_the_beginning_of_a_longer(
    memories: list[Memory], limit: int
) -> None:
    segment = segment_of(memories)
    question = asked("cat river", speakers=[""], asks_for_time=True)
    whole = rank(segment, question)
    assert whole.scores == pytest.approx(
        whole.words + whole.meaning + whole.speaker + whole.time + whole.prior
    )
    # They are the numbers that decided the order, not wider ones that may say otherwise.
    assert whole.scores.tolist() == whole.scores.astype(np.float32).tolist()
    assert whole.scores.tolist() == sorted(whole.scores, reverse=True)
    assert rank(segment, question, limit=limit).ids == whole.ids[:limit]


def test_equal_memories_come_newest_first_and_then_by_id() -> None:
    segment = segment_of([Memory(1, occurred_at=5), Memory(2, occurred_at=9), Memory(4), Memory(3)])
    assert found(segment, asked("cat")) == [2, 1, 3, 4]


def test_at_most_two_hundred_are_ranked() -> None:
    segment = segment_of(Memory(n) for n in range(300))
    assert len(rank(segment, asked("cat"), limit=1000)) == 200


def test_an_owner_without_memories_gets_an_empty_ranking() -> None:
    ranking = rank(segment_of([]), asked("cat", vector=unit(1), times=[NamedTime(0, 1, TimeUnit.DAY)]))
    assert len(ranking) == 0
    assert len(rescore(ranking, np.zeros(0))) == 0


def test_a_deleted_memory_is_not_found_and_does_not_count() -> None:
    memories = [Memory(n, "cat", "talk", position=n) for n in range(6)]
    after = segment_of(memories).apply(Delta(2, deleted=id_array([id_of(3)])))
    fresh = rank(segment_of(m for m in memories if m.number != 3), asked("cat"))
    assert rank(after, asked("cat")).ids == fresh.ids
    assert rank(after, asked("cat")).scores == pytest.approx(fresh.scores)


def test_terms_that_share_half_their_hash_are_told_apart() -> None:
    [cat] = question_terms("cat")
    assert found(segment_of([Memory(1, "cat")]), Question(terms=[cat.hash ^ 0x10000])) == []


def test_each_model_has_its_own_weight_of_meaning() -> None:
    assert (weights_of(1), weights_of(7)) == (WEIGHTS, WEIGHTS)
    assert weights_of(2).cosine == 8
