"""What is answered from memory is what the database would have answered, whatever happened in between."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from reverie.storage.v1 import search_pb2
from tests.stack.search.harness import Search, create, turn, unit, update
from tests.stack.storage.harness import DIMENSIONS, Operation, Storage, delete

WORDS = ["cat", "dog", "sea", "tax", "rain", "train", "bread", "music", "garden", "letter"]
SPEAKERS = ["", "Ana", "Ben", "Cleo"]
USER = "ana"

BLUR = 0.03
"""How far two ways to the same score may be apart: a memory without a vector gets the mean of the others."""


@dataclass
class History:
    """Random changes of one user's memories."""

    storage: Storage
    rng: random.Random
    living: dict[UUID, int] = field(default_factory=dict)

    async def step(self) -> None:
        """Does one thing, or several in one batch."""
        act = self.rng.choice([self.write, self.write, self.write, self.analyse])
        await act()

    async def write(self) -> None:
        operations: dict[UUID, Operation] = {}
        for _ in range(self.rng.choice([1, 1, 5, 20])):
            operation = self.operation()
            operations.setdefault(operation.id, operation)
        revisions = await self.storage.written(*operations.values())
        for operation, revision in zip(operations.values(), revisions, strict=True):
            self.living[operation.id] = revision
            if "delete" in operation.change:
                del self.living[operation.id]

    def operation(self) -> Operation:
        kind = self.rng.random()
        if not self.living or kind < 0.6:
            return create(USER, self.text(), self.rng.randrange(10**6), **self.source(), **self.around())
        id_ = self.rng.choice(list(self.living))
        if kind < 0.8:
            fields = self.around()
            return update(USER, id_, self.living[id_], self.text(), self.rng.randrange(10**6), **fields)
        return delete(USER, id_)

    async def analyse(self) -> None:
        for due in await self.storage.claim(limit=self.rng.choice([1, 8, 64])):
            await self.storage.attach(due, vector=self.vector())

    def text(self) -> str:
        said = " ".join(self.rng.choices(WORDS, k=self.rng.randint(1, 12)))
        return said + self.rng.choice(["", "?", " last week"])

    def source(self) -> dict[str, Any]:
        if self.rng.random() < 0.3:
            return {}
        conversation, position = f"c{self.rng.randrange(4)}", self.rng.randrange(50)
        return {"source": turn(conversation, position, self.rng.choice(SPEAKERS))}

    def around(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"occurred_precision": self.rng.randint(1, 4)}
        if self.rng.random() < 0.5:
            fields["occurred_utc_offset"] = {"seconds": 60 * self.rng.randint(-1080, 1080)}
        if self.rng.random() < 0.2:
            fields["occurred_until"] = {"seconds": 1_701_100_000 + self.rng.randrange(10**7)}
        for name, of in (("labels", ["x", "y", "z"]), ("people", ["Dora", "Ed"])):
            if self.rng.random() < 0.3:
                fields[name] = self.rng.sample(of, k=self.rng.randint(1, 2))
        return fields

    def vector(self) -> bytes:
        return unit(np.random.default_rng(self.rng.getrandbits(32)).normal(size=DIMENSIONS))

    def question(self) -> dict[str, Any]:
        return {
            "text": " ".join(self.rng.choices(WORDS, k=3)),
            "vector": self.vector() if self.rng.random() < 0.8 else b"",
            "speakers": self.rng.sample(SPEAKERS, k=self.rng.randint(0, 2)),
            "neighbors_before": 1,
            "page_size": 10,
            "asks_for_time": self.rng.random() < 0.3,
            "times": [{"first_day": 19_675, "last_day": 19_680, "unit": self.rng.randint(1, 3)}],
            "filter": self.rng.choice([{}, {}, {"labels": ["x"]}, {"people": ["Ed"]}, {"kinds": [1]}]),
        }


def assert_alike(one: search_pb2.SearchResponse, other: search_pb2.SearchResponse) -> None:
    """The same hits but for those whose scores are too close to tell apart."""
    assert one.revision == other.revision
    assert len(one.hits) == len(other.hits)
    assert [hit.score for hit in one.hits] == pytest.approx([hit.score for hit in other.hits], abs=BLUR)
    last = one.hits[-1].score if one.hits else 0.0
    theirs = {hit.memory.name: hit for hit in other.hits}
    for hit in one.hits:
        twin = theirs.get(hit.memory.name)
        if twin is None:
            assert hit.score == pytest.approx(last, abs=2 * BLUR)
            continue
        assert hit.memory == twin.memory
        assert [*hit.before] == [*twin.before]
        assert hit.score == pytest.approx(twin.score, abs=BLUR)
        assert hit.matched_terms == twin.matched_terms
        assert hit.words_score == pytest.approx(twin.words_score, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
async def test_a_warm_answer_equals_the_answer_from_the_database(
    storage: Storage, searching: Callable[..., Search], seed: int
) -> None:
    warm, half_warm, stateless = searching(), searching(loads=False), searching(loads=False)
    history = History(storage, random.Random(seed))
    cold = 0
    for step in range(30):
        await history.step()
        if step == 5:
            await warm.warm(USER)
        question = history.question()
        stateless.cache.drop()
        expected = await stateless.ask(USER, **question)
        cold += not expected.warm
        # The second time it is known what state there is.
        for other in (warm, half_warm, warm):
            answer = await other.ask(USER, **question)
            assert answer.warm or step <= 1
            assert_alike(answer, expected)
        if step == 20:
            warm.cache.drop()
            await warm.warm(USER)
    # The others were asked twice, as the speakers had changed.
    assert cold >= 15
