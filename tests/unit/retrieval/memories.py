"""Memories for the tests of ranking, and ranking done slowly, straight from the definition."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.runtime.terms import terms_and_traits
from services.storage.columns import Columns, Row, Vectors, id_array
from services.storage.segment import Segment

Floats = npt.NDArray[np.float32]

DIMENSIONS = 8


def id_of(number: int) -> bytes:
    # Ends in zeros: ids must survive as fixed 16 bytes.
    return number.to_bytes(8, "big") + bytes(8)


@dataclass
class Memory:
    number: int
    text: str = "cat"
    conversation: str = ""
    speaker: str = ""
    position: int = 0
    occurred_at: int = 0
    revision: int = 1
    kind: int = 1
    traits: int = 0
    labels: str = ""
    people: str = ""
    vector: Floats | None = field(default=None)

    def row(self) -> Row:
        return Row(
            id=id_of(self.number),
            revision=self.revision,
            terms=terms_and_traits(self.text)[0],
            occurred_at=self.occurred_at,
            kind=self.kind,
            traits=self.traits,
            conversation=self.conversation,
            speaker=self.speaker,
            position=self.position,
            labels=self.labels,
            people=self.people,
        )


def vectors_of(memories: Iterable[Memory]) -> Vectors:
    with_vector = [memory for memory in memories if memory.vector is not None]
    values = np.array([memory.vector for memory in with_vector], np.float32).reshape(-1, DIMENSIONS)
    return Vectors(id_array(id_of(memory.number) for memory in with_vector), values)


def segment_of(memories: Iterable[Memory], revision: int = 1) -> Segment:
    memories = list(memories)
    columns = Columns.of(memory.row() for memory in memories)
    return Segment.build(columns, revision=revision, vectors=vectors_of(memories))


def unit(seed: int) -> Floats:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS)
    unit_vector: Floats = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit_vector


def numbers(ids: Iterable[bytes]) -> list[int]:
    return [int.from_bytes(id_[:8], "big") for id_ in ids]


def slow_words(memories: Sequence[Memory], terms: Sequence[int]) -> dict[int, float]:
    """The score by words of each memory, by number: loops over the formula."""
    k1, b, window, full_context = 1.0, 0.5, (1.0, 0.5, 0.25), 20
    counts = {m.number: Counter(np.frombuffer(terms_and_traits(m.text)[0], "<u4").tolist()) for m in memories}
    own_length = {number: sum(count.values()) for number, count in counts.items()}
    order = sorted(memories, key=lambda m: (m.conversation, m.position, m.occurred_at, id_of(m.number)))

    def heard(values: dict[int, int]) -> dict[int, float]:
        total = {}
        for at, memory in enumerate(order):
            around = 0.0
            for distance, share in enumerate(window, 1):
                for other in (at - distance, at + distance):
                    if 0 <= other < len(order) and memory.conversation == order[other].conversation != "":
                        around += share * values[order[other].number]
            context = min(1.0, full_context / max(own_length[memory.number], 1))
            total[memory.number] = values[memory.number] + context * around
        return total

    lengths = heard(own_length)
    mean = max(sum(lengths.values()) / max(len(lengths), 1), 1.0)
    scores = dict.fromkeys(counts, 0.0)
    for term in terms:
        tf = heard({number: count[term] for number, count in counts.items()})
        df = sum(value > 0 for value in tf.values())
        idf = math.log(1 + (len(memories) - df + 0.5) / (df + 0.5))
        for number, value in tf.items():
            norm = k1 * (1 - b + b * lengths[number] / mean)
            scores[number] += idf * (k1 + 1) * value / (value + norm) if value else 0.0
    return scores
