"""Ranking: which of an owner's memories answer a question, by words, neighbours, meaning, speaker and time.

    rank(segment, Question(terms=.., vector=..), Filter(kinds=[1]), limit=30)  ->  Ranking, best first
    rescore(ranking, exact_cosines)                                            ->  the same, exactly

The score of a memory is the sum of five parts, which are reported beside it:

* words: BM25 over the memory's own terms and, counted less, those of its neighbours in the conversation;
* meaning: its cosine with the question; a memory without a vector gets the mean of the owner's others;
* speaker: the question names who said it;
* time: the question asks for a time and the memory tells one; the question names a date and the memory fits;
* prior: a memory that is itself a question answers little.

A filter decides what is returned and nothing else: how rare a word is, how long a memory is and what its
neighbours say are the owner's, filtered or not, so a memory's score does not depend on the filter. Pure
functions of their arguments; a segment keeps what was derived from it for the next question.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from services.runtime.terms import NamedTime, Trait
from services.storage.columns import id_array
from services.storage.filtering import EVERYTHING, Filter, passes
from services.storage.named_times import FitRule, fit_of
from services.storage.segment import Index, Mask, Segment
from services.storage.words import Weighting, Words, layout_of, matched, words_of

Floats = npt.NDArray[np.float32]

MAX_LIMIT = 200
"""A search ranks at most so many memories."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The constants of the score, found on LoCoMo and a second set of long chats; all are flat near these."""

    words: Weighting = field(default_factory=Weighting)
    cosine: float = 16.0
    """12 to 20 give the same. Without vectors: -3 points of any@10."""
    speaker: float = 5.0
    """3 to 8 give the same. Without: -2 points of any@10."""
    tells_time: float = 1.5
    """The question asks for a time, the memory tells one."""
    named_time: float = 2.0
    """Times the fit to a time that the question names."""
    question: float = -1.5
    """The memory is itself a question. The last three together: +0.5 points of any@10."""
    fit: FitRule = field(default_factory=FitRule)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked, understood."""

    terms: Sequence[int] = ()
    """Hashes of its words, a repeated one repeated, without the names of speakers."""
    vector: Floats | None = None
    """Of length 1, by the segment's model. None: words only."""
    speakers: Sequence[str] = ()
    """Speakers that it names, as memories spell them; the empty name means memories without a speaker."""
    asks_for_time: bool = False
    times: Sequence[NamedTime] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Memories that answer a question, best first, equal ones newest first: item i of every field is hit
    i."""

    ids: list[bytes]
    """16 bytes each."""
    scores: npt.NDArray[np.float64]
    """The sum of `words`, `meaning`, `speaker`, `time` and `prior`."""
    words: npt.NDArray[np.float64]
    meaning: npt.NDArray[np.float64]
    speaker: npt.NDArray[np.float64]
    time: npt.NDArray[np.float64]
    prior: npt.NDArray[np.float64]
    cosines: npt.NDArray[np.float64]
    """To about 0.002 when they come from a segment's 8-bit vectors; NaN without a vector."""
    lexical_ranks: npt.NDArray[np.int64]
    """By words alone, among what passes the filter; 0 if no word matches."""
    vector_ranks: npt.NDArray[np.int64]
    """By meaning alone, among what passes the filter; 0 without a vector."""
    matched: npt.NDArray[np.uint64]
    """Which words of the question the memory or its neighbours hold: bit t stands for `terms[t]`."""
    times: npt.NDArray[np.int64]
    """When they happened, in microseconds since 1970-01-01 UTC."""
    terms: npt.NDArray[np.uint32]
    """The distinct hashes of the question, the same for all hits."""

    def __len__(self) -> int:
        return len(self.ids)


WEIGHTS = Weights()
STATIC_WEIGHTS = Weights(cosine=8.0)
"""The static embedder's cosines say less: 8 is best on LoCoMo, 5 to 16 cost half a point."""


_STATIC = 2
"""The number of `services.runtime.embedder.Static`."""


def weights_of(model: int) -> Weights:
    """Return the weights for vectors of a model, by its number in the database."""
    return STATIC_WEIGHTS if model == _STATIC else WEIGHTS


def rank(
    segment: Segment,
    question: Question,
    only: Filter = EVERYTHING,
    *,
    limit: int = MAX_LIMIT,
    cosines: npt.NDArray[np.floating] | None = None,
    weights: Weights = WEIGHTS,
) -> Ranking:
    """Return the best memories for a question, at most `limit` (1 to 200).

    A memory is a hit if it has a vector to compare with, holds a word of the question (or a neighbour does),
    fits a named time, or is said by a named speaker of whom nothing more is asked. `cosines`, one for each
    row of the segment in the order of its columns and NaN where there is no vector, replaces the segment's
    own vectors: for a segment just built without any.

    From 8-bit vectors the best 10 memories more than are shown hold all that exact cosines would show: ask
    for those, then `rescore` (measured: 512 of 512 questions alike).
    """
    scored = _score(segment, question, cosines, weights)
    may = scored.is_hit & passes(segment, only)
    places = _best(segment, scored, may, min(max(limit, 1), MAX_LIMIT))
    return _ranking(segment, scored, may, places, weights)


def rescore(ranking: Ranking, cosines: npt.NDArray[np.floating], weights: Weights = WEIGHTS) -> Ranking:
    """Return the ranking with exact cosines for its first `len(cosines)` hits, put in order anew.

    NaN leaves a hit as it is. The hits behind those keep their places.
    """
    first = len(cosines)
    exact = ranking.cosines.copy()
    exact[:first] = np.where(np.isnan(cosines), exact[:first], cosines)
    meaning = np.where(np.isnan(exact), ranking.meaning, weights.cosine * exact)
    scores = ranking.scores - ranking.meaning + meaning
    order = np.arange(len(ranking))
    order[:first] = _in_order(scores[:first], ranking.times[:first], ranking.ids[:first])
    return _taken(replace(ranking, cosines=exact, meaning=meaning, scores=scores), order)


class _Scored(NamedTuple):
    """Parts of the score of every living memory, in reading order."""

    words: Words
    cosines: Floats
    meaning: Floats
    speaker: Floats
    time: Floats
    prior: Floats
    total: Floats
    is_hit: Mask


def _score(
    segment: Segment, question: Question, cosines: npt.NDArray[np.floating] | None, weights: Weights
) -> _Scored:
    words = words_of(segment, question.terms, weights.words)
    near = _cosines(segment, question, cosines)
    meaning = _meaning(segment, question, near, weights, given=cosines is not None)
    traits = segment.rows.traits[segment.order]
    speaker = np.where(_said_by(segment, question.speakers), np.float32(weights.speaker), np.float32(0))
    fit = fit_of(segment, question.times, weights.fit)
    time = np.float32(weights.named_time) * fit
    if question.asks_for_time:
        time += np.float32(weights.tells_time) * ((traits & Trait.TIME_EXPRESSION) != 0)
    prior = np.float32(weights.question) * ((traits & Trait.QUESTION) != 0)
    total = words.scores + meaning + speaker + time + prior
    is_hit = ~np.isnan(near) | (words.scores > 0) | (fit > 0)
    if not len(question.terms):
        is_hit |= speaker > 0
    return _Scored(words, near, meaning, speaker, time, prior, total, is_hit)


def _cosines(segment: Segment, question: Question, given: npt.NDArray[np.floating] | None) -> Floats:
    """Return the cosine of each living memory with the question, in reading order; NaN without a vector."""
    if given is not None:
        return given[segment.order].astype(np.float32)
    none = np.full(len(segment), np.nan, np.float32)
    if question.vector is None or not segment.has_vector.any():
        return none
    return np.where(segment.has_vector, segment.dot(question.vector), np.float32(np.nan))[segment.order]


def _meaning(segment: Segment, question: Question, near: Floats, weights: Weights, *, given: bool) -> Floats:
    known = ~np.isnan(near)
    if known.all():
        return weights.cosine * near
    if not known.any():
        return np.zeros(len(near), np.float32)
    mean = near[known].mean() if given else segment.mean_dot(cast("Floats", question.vector))
    return np.float32(weights.cosine) * np.where(known, near, np.float32(mean))


def _said_by(segment: Segment, speakers: Sequence[str]) -> Mask:
    codes = segment.rows.speakers[segment.order]
    said = np.zeros(len(codes), np.bool_)
    for name in speakers:
        said |= codes == segment.rows.speaker_codes.find(name)
    return said


def _best(segment: Segment, scored: _Scored, may: Mask, limit: int) -> Index:
    """Return the places of the best memories that may be returned, best first."""
    places = np.flatnonzero(may)
    totals = scored.total[places]
    if len(places) > limit:
        places = places[totals >= np.partition(totals, -limit)[-limit]]
    rows = segment.order[places]
    order = _in_order(scored.total[places], segment.rows.times[rows], segment.ids_of(rows))
    return places[order[:limit]]


def _in_order(scores: npt.NDArray[np.floating], times: npt.NDArray[np.int64], ids: Sequence[bytes]) -> Index:
    """Return the order of hits: by score, the newest first among equals."""
    return np.lexsort((id_array(ids), -times, -scores))


def _ranking(segment: Segment, scored: _Scored, may: Mask, places: Index, weights: Weights) -> Ranking:
    rows = segment.order[places]
    words = scored.words.scores[places].astype(np.float64)
    near = scored.cosines[places].astype(np.float64)
    meaning = scored.meaning[places].astype(np.float64)
    speaker = scored.speaker[places].astype(np.float64)
    time = scored.time[places].astype(np.float64)
    prior = scored.prior[places].astype(np.float64)
    return Ranking(
        ids=segment.ids_of(rows),
        # The sums that decided the order: those of wider numbers would differ behind the seventh digit.
        scores=scored.total[places].astype(np.float64),
        words=words,
        meaning=meaning,
        speaker=speaker,
        time=time,
        prior=prior,
        cosines=near,
        lexical_ranks=_ranks(
            np.where(words > 0, words, np.nan), scored.words.scores[may & (scored.words.scores > 0)]
        ),
        vector_ranks=_ranks(near, scored.cosines[may & ~np.isnan(scored.cosines)]),
        matched=matched(scored.words, places, layout_of(segment, weights.words)),
        times=segment.rows.times[rows],
        terms=scored.words.hashes,
    )


def _ranks(of_hits: npt.NDArray[np.float64], of_all: Floats) -> npt.NDArray[np.int64]:
    """Return how many of all are better, plus 1; 0 for a hit that is NaN."""
    ascending = np.sort(of_all)
    better = len(ascending) - np.searchsorted(ascending, of_hits.astype(np.float32), side="right")
    return np.where(np.isnan(of_hits), 0, better + 1)


def _taken(ranking: Ranking, order: Index) -> Ranking:
    """Return the hits of a ranking in another order."""
    return Ranking(
        ids=[ranking.ids[at] for at in order],
        scores=ranking.scores[order],
        words=ranking.words[order],
        meaning=ranking.meaning[order],
        speaker=ranking.speaker[order],
        time=ranking.time[order],
        prior=ranking.prior[order],
        cosines=ranking.cosines[order],
        lexical_ranks=ranking.lexical_ranks[order],
        vector_ranks=ranking.vector_ranks[order],
        matched=ranking.matched[order],
        times=ranking.times[order],
        terms=ranking.terms,
    )
