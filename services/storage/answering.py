"""From a view and a question to hits with their memories: ranks in memory, and reads what is to be shown.

Vectors in memory have 8 bits a number. So that the order on a page is the exact one, hits that could change
their place by that are scored again with the cosines that the database computes.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from reverie.storage.v1 import search_pb2
from services.runtime.errors import ReverieError
from services.storage import feed, queries, records
from services.storage.feed import Cosines, Now
from services.storage.filtering import Filter
from services.storage.ranking import Question, Ranking, rank, rescore, weights_of
from services.storage.remaining import Hits
from services.storage.segments import INLINE, MovedError, View

if TYPE_CHECKING:
    from services.storage.database import Pool, Record

BLUR = 0.004
"""How far a cosine from vectors of 8 bits may be off; 0.002 is seen."""

PAGE_BYTES = 4 * 1024 * 1024
"""What the hits of a page may have in all; the rest is on the next one."""

Bodies = Mapping[bytes, "Record"]
"""Rows by id: what `Now.of` reads, the exact cosine or NULL, then the memory."""

_COSINE, _MEMORY = 4, 5


Pending = asyncio.Task[Cosines | None]
"""Cosines that are being computed; None if that failed."""


class Around(NamedTuple):
    """How many neighbours of a hit are to be shown."""

    before: int
    after: int


class Found(NamedTuple):
    """What was found."""

    hits: Hits
    """All that were ranked, best first."""
    bodies: Bodies
    """The memories of the first page, and their neighbours."""


class Ahead:
    """Computes cosines on a connection of their own, while the memories are read: two cores do more than one.

    Its answer counts if it is of the snapshot's state: a revision names one state of an owner. One at a
    time, so that searches which hold a connection never wait for each other's second one.
    """

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._task: Pending | None = None

    def start(self, owner: UUID, model: int, vector: bytes) -> Pending | None:
        """Begin, unless another is under way."""
        if self._task is not None and not self._task.done():
            return None
        self._task = asyncio.create_task(self._cosines(owner, model, vector))
        return self._task

    async def _cosines(self, owner: UUID, model: int, vector: bytes) -> Cosines | None:
        try:
            return await feed.cosines(self._pool, owner, model, vector)
        except ReverieError:
            # Whoever waits for it asks once more, and learns what is wrong.
            return None


async def found(
    view: View,
    question: Question,
    only: Filter,
    size: int,
    around: Around,
    ahead: Pending | None = None,
) -> Found:
    """Answer a question with all hits, and the memories of a first page of `size`.

    `ahead`: cosines of this question that are being computed, by the model of the view.
    """
    near = await _cosines(view, question, ahead)
    ranking = await _ranked(view, question, only, near)
    if question.vector is None or near is not None:
        return Found(Hits.of(ranking), await bodies(view, ranking.ids[:size], around))
    weights = weights_of(view.now.model)
    doubtful = ranking.ids[: unsettled(ranking.scores, size, weights.cosine)]
    read = await bodies(view, doubtful, around, question.vector)
    exact = np.array([_cosine(read.get(id_)) for id_ in doubtful], np.float64)
    return Found(Hits.of(rescore(ranking, exact, weights)), read)


async def bodies(
    view: View, ids: Sequence[bytes], around: Around, vector: npt.NDArray[np.float32] | None = None
) -> Bodies:
    """Read memories with their neighbours and, for a vector, their cosines with it.

    MovedError if the view is not pinned and the owner's state is another one by now.
    """
    wanted = [records.id_of(id_) for id_ in _with_neighbours(view, ids, around)]
    if not wanted:
        await confirm(view)
        return {}
    blob = None if vector is None else vector.tobytes()
    rows = await view.reader.fetch(queries.text("search_hits"), view.owner, wanted, view.now.model, blob)
    if Now.of(rows[0]) != view.now:
        raise MovedError
    return {row[_MEMORY].bytes: row for row in rows if row[_MEMORY] is not None}


async def confirm(view: View) -> None:
    """Raise MovedError if the view's state was guessed and is not the one that there is."""
    if view.guessed and await feed.now(view.reader, view.owner) != view.now:
        raise MovedError


def put_hits(
    response: search_pb2.SearchResponse,
    view: View,
    user: str,
    page: Hits,
    read: Bodies,
    around: Around,
) -> int:
    """Add hits to a response, as many as fit, one at least; how many of the page that took.

    Those that are no longer there are left out.
    """
    room = PAGE_BYTES
    for taken, hit in enumerate(page):
        body = read.get(hit.id)
        if body is None:
            continue
        shown = response.hits.add(
            score=hit.score,
            lexical_rank=hit.lexical_rank,
            vector_rank=hit.vector_rank,
            matched_terms=page.matched(hit),
            words_score=hit.words,
            meaning_score=hit.meaning,
            speaker_score=hit.speaker,
            time_score=hit.time,
            prior_score=hit.prior,
        )
        records.put(shown.memory, user, body, _MEMORY)
        for ids, memories in zip(neighbours(view, hit.id, around), (shown.before, shown.after), strict=True):
            for row in filter(None, map(read.get, ids)):
                records.put(memories.add(), user, row, _MEMORY)
        room -= shown.ByteSize()
        if room < 0 and len(response.hits) > 1:
            del response.hits[-1]
            return taken
    return len(page)


def neighbours(view: View, id_: bytes, around: Around) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Return the ids before and after a memory in its conversation."""
    if view.segment is None or around == (0, 0):
        return (), ()
    return view.segment.neighbours(id_, *around)


def unsettled(scores: npt.NDArray[np.float64], size: int, weight: float) -> int:
    """Return how many of the first hits to score exactly, so that the first `size` are the right ones.

    `scores` descend, and hold the cosine times `weight`. A hit may be better by the blur than it seems, and
    the last of the page worse.
    """
    if len(scores) <= size:
        return len(scores)
    within_reach = scores[size - 1] - 2 * BLUR * weight
    return int(np.count_nonzero(scores >= within_reach))


def _with_neighbours(view: View, ids: Sequence[bytes], around: Around) -> Iterable[bytes]:
    if around == (0, 0):
        return ids
    wanted = dict.fromkeys(ids)
    for id_ in ids:
        before, after = neighbours(view, id_, around)
        wanted.update(dict.fromkeys((*before, *after)))
    return wanted


async def _cosines(view: View, question: Question, ahead: Pending | None) -> npt.NDArray[np.float32] | None:
    """Read cosines where the segment has no vectors; None where it has, or none are asked for."""
    if view.segment is None or view.has_vectors or question.vector is None:
        return None
    near = None if ahead is None else await ahead
    if near is None or near.state != view.now.state:
        vector = question.vector.tobytes()
        near = await feed.cosines(view.reader, view.owner, view.now.model, vector)
    return near.aligned(view.segment)


async def _ranked(
    view: View, question: Question, only: Filter, near: npt.NDArray[np.float32] | None
) -> Ranking:
    segment = view.segment
    assert segment is not None, "an owner without memories is not ranked"
    weights = weights_of(view.now.model)
    if len(segment) <= INLINE:
        return rank(segment, question, only, cosines=near, weights=weights)
    return await asyncio.to_thread(rank, segment, question, only, cosines=near, weights=weights)


def _cosine(row: "Record | None") -> float:
    return np.nan if row is None or row[_COSINE] is None else float(row[_COSINE])
