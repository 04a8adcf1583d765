import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.terms import Precision, question_terms
from services.storage import segment as segments
from services.storage.columns import Columns, Row, Vectors, id_array
from services.storage.ranking import Question, rank
from services.storage.segment import Delta, Segment
from tests.unit.retrieval.memories import (
    DIMENSIONS,
    Floats,
    Memory,
    id_of,
    numbers,
    segment_of,
    unit,
    vectors_of,
)

Step = tuple[list[Memory], set[int], dict[int, Floats]]

WORDS = ["cat", "dog", "tree", "house", "river", "lamp"]
QUESTION = Question(
    terms=[term.hash for term in question_terms("cat dog river")],
    vector=unit(99),
    speakers=["Ana"],
)


def answers(segment: Segment) -> list[tuple[int, float, float]]:
    ranking = rank(segment, QUESTION)
    return [
        (number, round(float(score), 4), round(float(meaning), 4))
        for number, score, meaning in zip(numbers(ranking.ids), ranking.scores, ranking.meaning, strict=True)
    ]


def same(left: Segment, right: Segment) -> None:
    assert len(left) == len(right)
    assert left.vector_count == right.vector_count
    assert left.speakers == right.speakers
    a, b = answers(left), answers(right)
    assert sorted(number for number, _, _ in a) == sorted(number for number, _, _ in b)
    scores = {number: (score, meaning) for number, score, meaning in b}
    for number, score, meaning in a:
        assert (score, meaning) == pytest.approx(scores[number], abs=2e-3), number


memory = st.builds(
    Memory,
    number=st.integers(0, 11),
    text=st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
    conversation=st.sampled_from(["", "a", "b"]),
    speaker=st.sampled_from(["", "Ana", "Ben"]),
    position=st.integers(0, 4),
    occurred_at=st.integers(-5, 5).map(lambda day: day * 86_400_000_000),
    traits=st.integers(0, 3),
    labels=st.sampled_from(["", "work", "work\x1fhome"]),
    vector=st.none() | st.integers(0, 20).map(unit),
)
steps = st.lists(
    st.tuples(
        st.lists(memory, max_size=4, unique_by=lambda each: each.number),
        st.sets(st.integers(0, 11), max_size=2),
        st.dictionaries(st.integers(0, 11), st.integers(0, 20).map(unit), max_size=2),
    ),
    min_size=1,
    max_size=8,
)


class Owner:
    """What the database would say: memories by number, each with its newest revision."""

    def __init__(self) -> None:
        self.living: dict[int, Memory] = {}
        self.revision = 1

    def step(self, changed: list[Memory], deleted: set[int], attached: dict[int, Floats]) -> Delta:
        self.revision += 1
        changed = [each for each in changed if each.number not in deleted]
        for each in changed:
            self.living[each.number] = dataclasses.replace(each, revision=self.revision)
        for number in deleted:
            self.living.pop(number, None)
        touched = {each.number for each in changed if each.vector is not None}
        for number, vector in attached.items():
            if number in self.living:
                self.living[number].vector = vector
                touched.add(number)
        return Delta(
            revision=self.revision,
            changed=Columns.of(self.living[each.number].row() for each in changed),
            deleted=id_array(id_of(number) for number in deleted),
            vectors=vectors_of([each for number, each in self.living.items() if number in touched]),
        )


def compacting_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_DEAD_ROWS", 2)


@pytest.mark.parametrize("compacting", [False, True])
def test_a_segment_brought_up_to_date_equals_one_built_anew(
    monkeypatch: pytest.MonkeyPatch, compacting: bool
) -> None:
    if compacting:
        compacting_early(monkeypatch)

    @settings(max_examples=120)
    @given(steps)
    def holds(history: list[Step]) -> None:
        owner, segment = Owner(), segment_of([])
        for step in history:
            segment = segment.apply(owner.step(*step))
            assert segment.revision == owner.revision
            same(segment, segment_of(owner.living.values(), owner.revision))

    holds()


@settings(max_examples=60)
@given(steps)
def test_older_segments_stay_what_they_were(history: list[Step]) -> None:
    owner, segment = Owner(), segment_of([])
    seen = [(segment, answers(segment))]
    for step in history:
        segment = segment.apply(owner.step(*step))
        seen.append((segment, answers(segment)))
    for older, answered in seen:
        older.memo.clear()
        assert answers(older) == answered


@settings(max_examples=60)
@given(steps, steps)
def test_two_lines_from_one_segment_do_not_disturb_each_other(left: list[Step], right: list[Step]) -> None:
    base = Owner()
    origin = segment_of([]).apply(base.step([Memory(1, "cat", vector=unit(1)), Memory(2, "dog")], set(), {}))
    lines = []
    for start, history in ((origin, left), (origin, right), (origin.detached(), right)):
        owner, segment = Owner(), start
        owner.living = {number: dataclasses.replace(each) for number, each in base.living.items()}
        owner.revision = base.revision
        for step in history:
            segment = segment.apply(owner.step(*step))
        lines.append((segment, owner))
    for segment, owner in lines:
        segment.memo.clear()
        same(segment, segment_of(owner.living.values()))


@settings(max_examples=60)
@given(steps)
def test_hearing_a_change_twice_does_no_harm(history: list[Step]) -> None:
    owner, segment = Owner(), segment_of([])
    for step in history:
        delta = owner.step(*step)
        once = segment.apply(delta)
        segment = once.apply(delta)
        same(segment, once)


def test_an_updated_memory_loses_its_vector_until_a_new_one_comes() -> None:
    segment = segment_of([Memory(1, vector=unit(1)), Memory(2, vector=unit(2))])
    updated = segment.apply(Delta(2, changed=Columns.of([Memory(1, "dog", revision=2).row()])))
    assert (segment.vector_count, updated.vector_count) == (2, 1)
    vector = Vectors(id_array([id_of(1)]), unit(3)[None])
    assert updated.apply(Delta(3, vectors=vector)).vector_count == 2


def test_an_older_state_of_a_memory_does_not_replace_a_newer_one() -> None:
    segment = segment_of([Memory(1, "cat", revision=5)], revision=5)
    assert segment.apply(Delta(5, changed=Columns.of([Memory(1, "dog", revision=4).row()]))).count == 1


def test_a_segment_does_not_go_back_in_time() -> None:
    with pytest.raises(ValueError, match="revision 7 does not go back to 6"):
        segment_of([], revision=7).apply(Delta(6))


def test_a_deleted_memory_vanishes_and_its_neighbours_move_together() -> None:
    segment = segment_of(Memory(n, "cat", "talk", position=n) for n in range(5))
    assert [numbers(side) for side in segment.neighbours(id_of(1), 1, 1)] == [[0], [2]]
    without = segment.apply(Delta(2, deleted=id_array([id_of(2), id_of(77)])))
    assert len(without) == 4
    assert [numbers(side) for side in without.neighbours(id_of(1), 3, 2)] == [[0], [3, 4]]
    assert without.neighbours(id_of(2), 3, 3) == ([], [])


def test_neighbours_stay_inside_their_conversation() -> None:
    segment = segment_of(
        [
            Memory(1, conversation="a"),
            Memory(2, conversation="a", position=1),
            Memory(3, conversation="b"),
            Memory(4),
        ]
    )
    assert [numbers(side) for side in segment.neighbours(id_of(2), 9, 9)] == [[1], []]
    assert segment.neighbours(id_of(4), 9, 9) == ([], [])


def test_many_new_memories_at_once_come_into_reading_order() -> None:
    before = [Memory(n, "cat", "talk", position=2 * n) for n in range(5)]
    added = [Memory(100 + n, "cat", "talk", position=2 * n + 1) for n in range(100)]
    segment = segment_of(before).apply(Delta(2, changed=Columns.of(each.row() for each in added)))
    assert [numbers(side) for side in segment.neighbours(id_of(3), 2, 2)] == [[2, 102], [103, 4]]


def test_vectors_may_come_after_the_memories() -> None:
    memories = [Memory(n, vector=unit(n)) for n in range(5)]
    late = Segment.build(Columns.of(each.row() for each in memories), revision=1, dimensions=DIMENSIONS)
    assert late.vector_count == 0
    same(late.apply(Delta(1, vectors=vectors_of(memories))), segment_of(memories))


def test_memory_is_given_back_when_much_is_dead() -> None:
    segment = segment_of(Memory(n, vector=unit(n)) for n in range(2000))
    emptied = segment.apply(Delta(2, deleted=id_array(id_of(n) for n in range(1500))))
    assert emptied.count == 500
    assert emptied.nbytes < segment.nbytes / 3


def test_a_thousand_memories_take_less_than_a_megabyte() -> None:
    text = " ".join(f"word{n}" for n in range(17))
    columns = Columns.of(Memory(n, text).row() for n in range(1000))
    vectors = Vectors(columns.ids, np.ones((1000, 384), np.float32) / 384**0.5)
    assert segment_of([]).nbytes < 10_000
    assert Segment.build(columns, revision=1, vectors=vectors).nbytes < 750_000


def test_columns_from_blobs_equal_columns_from_rows() -> None:
    rows = [
        dataclasses.replace(Memory(3, "cat dog"), occurred_at=-1, conversation="a", speaker="Ana").row(),
        Memory(1, "", position=2**31 - 1, labels="x\x1fy", people="Ana").row(),
    ]

    def packed(kind: str, values: list[int]) -> bytes:
        return np.array(values, kind).tobytes()

    blobs = Columns.of_blobs(
        ids=b"".join(row.id for row in rows),
        revisions=packed(">i8", [row.revision for row in rows]),
        lengths=packed(">i4", [len(row.terms) // 4 for row in rows]),
        terms=b"".join(row.terms for row in rows),
        occurred_at=packed(">i8", [row.occurred_at for row in rows]),
        occurred_until=packed(">i8", [row.occurred_until for row in rows]),
        offset_minutes=packed(">i2", [row.offset_minutes for row in rows]),
        precisions=packed(">i2", [row.precision for row in rows]),
        kinds=packed(">i2", [row.kind for row in rows]),
        traits=packed(">i2", [row.traits for row in rows]),
        positions=packed(">i4", [row.position for row in rows]),
        conversations=[row.conversation for row in rows],
        speakers=[row.speaker for row in rows],
        labels=[row.labels for row in rows],
        people=[row.people for row in rows],
    )
    for name in Columns.__slots__:
        assert list(getattr(blobs, name)) == list(getattr(Columns.of(rows), name)), name


def test_a_column_that_lost_a_null_is_refused() -> None:
    columns = Columns.of([Memory(1).row(), Memory(2).row()])
    with pytest.raises(ValueError, match="speakers has 1"):
        dataclasses.replace(columns, speakers=["Ana"]).check()
    with pytest.raises(ValueError, match="terms has 1 for lengths of 2"):
        dataclasses.replace(columns, terms=columns.terms[:1]).check()


def test_vectors_are_read_from_a_binary_copy() -> None:
    values = np.array([[0.5, -0.25], [1.0, 0.0]], ">f2")

    def record(number: int, vector: npt.NDArray[np.floating]) -> bytes:
        halfvec = b"\0\2\0\0" + vector.tobytes()
        return b"\0\2" + b"\0\0\0\x10" + id_of(number) + len(halfvec).to_bytes(4, "big") + halfvec

    data = b"PGCOPY\n\xff\r\n\0" + bytes(8) + record(1, values[0]) + record(2, values[1]) + b"\xff\xff"
    vectors = Vectors.of_copy(data, 2)
    assert numbers(vectors.ids.tobytes()[at : at + 16] for at in (0, 16)) == [1, 2]
    assert vectors.values.tolist() == [[0.5, -0.25], [1.0, 0.0]]
    with pytest.raises(ValueError, match="not a COPY"):
        Vectors.of_copy(data, 3)


@pytest.mark.parametrize(
    ("occurred_at", "until", "offset", "precision", "days"),
    [
        ((19484 * 24 + 23) * 3600, 0, 0, Precision.INSTANT, (19484, 19484)),
        ((19484 * 24 + 23) * 3600, 0, 120, Precision.INSTANT, (19485, 19485)),
        (19478 * 86400, 0, 0, Precision.MONTH, (19478, 19508)),
        (19358 * 86400, 0, 0, Precision.YEAR, (19358, 19722)),
        (19484 * 86400, 19487 * 86400, 0, Precision.DAY, (19484, 19487)),
        (-1, 0, 0, Precision.INSTANT, (-1, -1)),
        (2932896 * 86400 - 30 * 86400, 0, 0, Precision.MONTH, (2932866, 2932896)),
    ],
)
def test_local_days_follow_offset_precision_and_duration(
    occurred_at: int, until: int, offset: int, precision: Precision, days: tuple[int, int]
) -> None:
    row = Row(id_of(1), 1, b"", occurred_at * 1_000_000, until * 1_000_000, offset, precision)
    columns = Columns.of([row])
    assert (columns.first_days[0], columns.last_days[0]) == days
