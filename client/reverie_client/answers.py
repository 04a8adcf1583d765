"""What calls answer with, besides memories."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from reverie.ingest.v1 import ingest_pb2
from reverie.query.v1 import query_pb2
from reverie_client import errors
from reverie_client.content import NewMemory
from reverie_client.errors import ReverieError
from reverie_client.memory import Memory


class Created(NamedTuple):
    """The receipt for a memory of many: it is committed, or was there already."""

    parent: str
    """`users/{user}`."""
    id: UUID
    revision: int
    etag: str

    @property
    def name(self) -> str:
        """`users/{user}/memories/{memory}`."""
        return f"{self.parent}/memories/{self.id}"


class Outcome(NamedTuple):
    """What became of one memory of many: a receipt, or why there is none."""

    new: NewMemory
    """As it was handed over, with the id that it got."""
    created: Created | None = None
    error: ReverieError | None = None


def created(parent: str, new: NewMemory, revision: int, etag: str) -> Outcome:
    """That a memory, which has its id, is there in a state."""
    if new.id is None:
        raise ValueError("a memory is sent with an id")
    return Outcome(new, Created(parent, new.id, revision, etag))


def outcome_of(parent: str, new: NewMemory, result: ingest_pb2.CreateResult) -> Outcome:
    """What a result says of a memory, which has its id."""
    if result.HasField("error"):
        return Outcome(new, error=errors.from_item(result.error))
    return created(parent, new, result.memory.revision, result.memory.etag)


@dataclass(frozen=True, slots=True)
class Found:
    """What `get_many` found."""

    memories: Sequence[Memory]
    """In the order of the request, all from one state."""
    missing: Sequence[str]
    """The names of those that are not there."""


@dataclass(frozen=True, slots=True)
class AnalysisState:
    """How much of a user's memories is still to be analysed."""

    due: int
    oldest_due_time: datetime | None
    dead: int
    """Given up; an operator can have them tried again."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit is there. The scores add up to the hit's."""

    lexical_rank: int
    """Its rank by words alone, from 1; 0 if no word matched."""
    vector_rank: int
    """Its rank by meaning alone, from 1; 0 if it is not analysed yet."""
    matched_words: Sequence[str]
    words_score: float
    meaning_score: float
    speaker_score: float
    time_score: float
    prior_score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that was found."""

    message: query_pb2.SearchHit

    @property
    def memory(self) -> Memory:
        """The memory."""
        return Memory(self.message.memory)

    @property
    def score(self) -> float:
        """Comparable within one answer only."""
        return self.message.score

    @property
    def before(self) -> Sequence[Memory]:
        """Those before it in its conversation, oldest first, if asked for."""
        return tuple(Memory(message) for message in self.message.before)

    @property
    def after(self) -> Sequence[Memory]:
        """Those after it in its conversation, oldest first, if asked for."""
        return tuple(Memory(message) for message in self.message.after)

    @property
    def explanation(self) -> Explanation | None:
        """Why it is there, if asked for."""
        if not self.message.HasField("explanation"):
            return None
        why = self.message.explanation
        return Explanation(
            lexical_rank=why.lexical_rank,
            vector_rank=why.vector_rank,
            matched_words=tuple(why.matched_words),
            words_score=why.words_score,
            meaning_score=why.meaning_score,
            speaker_score=why.speaker_score,
            time_score=why.time_score,
            prior_score=why.prior_score,
        )
