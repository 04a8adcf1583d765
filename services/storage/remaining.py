"""Hits of a ranking, and what is left of them after a page: the content of a search's page token.

Pages after the first show what the first page's ranking found, as it is then; what was deleted meanwhile is
left out.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from uuid import UUID

import numpy as np
import numpy.typing as npt

from services.runtime.errors import TokenInvalid
from services.runtime.tokens import ConsistencyToken, Tokens
from services.storage.ranking import Ranking
from services.storage.words import MATCHED_TERMS

KIND = "storage.search"

_HEAD = struct.Struct("<16s16sqBB")
_PARTS = ("words", "meaning", "speaker", "time", "prior")
_ROW = np.dtype(
    [
        ("id", "S16"),
        *((name, "<f4") for name in _PARTS),
        ("lexical_rank", "<u4"),
        ("vector_rank", "<u4"),
        ("matched", "<u8"),
    ]
)


class Hit(NamedTuple):
    """A memory that was found, with what its score is made of."""

    id: bytes
    words: float
    meaning: float
    speaker: float
    time: float
    prior: float
    lexical_rank: int
    vector_rank: int
    matched: int
    """Which terms it matched, as bits."""

    @property
    def score(self) -> float:
        """The sum of its parts."""
        return self.words + self.meaning + self.speaker + self.time + self.prior


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits, best first, as a page token holds them: 52 bytes each."""

    rows: npt.NDArray[np.void]
    terms: list[int]
    """Hashes that the bits of `matched` stand for."""

    @classmethod
    def of(cls, ranking: Ranking) -> Self:
        """Take the hits of a ranking."""
        rows = np.empty(len(ranking), _ROW)
        rows["id"] = ranking.ids
        for name in _PARTS:
            rows[name] = getattr(ranking, name)
        rows["lexical_rank"] = ranking.lexical_ranks
        rows["vector_rank"] = ranking.vector_ranks
        rows["matched"] = ranking.matched
        return cls(rows, ranking.terms[:MATCHED_TERMS].tolist())

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Hit]:
        for id_, *fields in self.rows.tolist():
            # numpy takes zeros off the end of bytes.
            yield Hit(id_.ljust(16, b"\0"), *fields)

    def parted(self, size: int) -> tuple["Hits", "Hits"]:
        """Return the first `size` hits, and the others."""
        return Hits(self.rows[:size], self.terms), Hits(self.rows[size:], self.terms)

    def matched(self, hit: Hit) -> list[int]:
        """Return the hashes of the terms that a hit matched."""
        return [term for at, term in enumerate(self.terms) if hit.matched >> at & 1]


class Remaining(NamedTuple):
    """Hits that are still to be shown, and the state that they were found in."""

    seen: ConsistencyToken
    hits: Hits

    @classmethod
    def opened(cls, tokens: Tokens, text: str, owner: UUID, digest: bytes) -> Self:
        """Read a page token. TokenInvalid if it is not ours, or of another owner or request."""
        payload = tokens.open(KIND, text)
        try:
            of_owner, of_request, revision, term_count, lineage_size = _HEAD.unpack_from(payload)
            terms_at = _HEAD.size + lineage_size
            rows_at = terms_at + 4 * term_count
            terms = np.frombuffer(payload[terms_at:rows_at], "<u4").tolist()
            rows = np.frombuffer(payload[rows_at:], _ROW)
        except (struct.error, ValueError) as damaged:
            raise TokenInvalid from damaged
        if (of_owner, of_request) != (owner.bytes, digest):
            raise TokenInvalid
        seen = ConsistencyToken(payload[_HEAD.size : terms_at], owner, revision)
        return cls(seen, Hits(rows, terms))

    def sealed(self, tokens: Tokens, digest: bytes) -> str:
        """Write a page token for the request of that digest (16 bytes); empty if nothing remains."""
        if not len(self.hits):
            return ""
        owner, lineage, terms = self.seen.owner.bytes, self.seen.lineage, self.hits.terms
        head = _HEAD.pack(owner, digest, self.seen.revision, len(terms), len(lineage))
        packed: list[Any] = [head, lineage, np.array(terms, "<u4").tobytes(), self.hits.rows.tobytes()]
        return tokens.seal(KIND, b"".join(packed))
