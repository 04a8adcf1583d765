"""Scores of memories by words: BM25 in which a memory's neighbours in the conversation speak along.

A turn such as "Yes, last Friday!" answers a question whose words stand in the turn before it. So the
frequency of a word in a memory is its own count and, in parts, its neighbours'; they count before saturation
(adding neighbours' finished scores is 3 to 4 points worse). N and the rarity of a word are those of the whole
owner.

    tf    = own + g * sum of w(d) * tf of the neighbours at distance d
    g     = min(1, 20 / own number of words)
    score = sum over the question's words of idf * (k1 + 1) * tf / (tf + k1 * (1 - b + b * length / mean))

where length is made like tf and idf = ln(1 + (N - df + 0.5) / (df + 0.5)), df = memories whose tf is not 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.storage.rows import NO_CONVERSATION
from services.storage.segment import Index, Segment

Floats = npt.NDArray[np.float32]

_CELLS = 65_536
"""Terms are scored together as long as terms x memories stay below: few calls for small owners, few cells for
large."""

MATCHED_TERMS = 64
"""Terms of a question that hits are told to have matched; a question rarely has ten."""


@dataclass(frozen=True, slots=True)
class Weighting:
    """The constants of the score by words."""

    k1: float = 1.0
    """How soon a repeated word stops counting; 0.6 to 1.5 give the same."""
    b: float = 0.5
    """How much length counts; 0.3 to 0.9 give the same."""
    window: tuple[float, ...] = (1.0, 0.5, 0.25)
    """What a word in the neighbour at distance 1, 2, 3 counts. Without neighbours: 5 points of any@10
    less."""
    full_context: int = 20
    """A memory of up to so many words hears its neighbours in full, a longer one in proportion less."""


class Hits(NamedTuple):
    """Where the terms of a question occur: item i says that term `terms[i]` is in the memory at
    `places[i]`."""

    places: Index
    """In reading order."""
    terms: Index
    """Index into the distinct terms."""


class Words(NamedTuple):
    """Scores by words of an owner's memories, in reading order."""

    scores: Floats
    hashes: npt.NDArray[np.uint32]
    """The distinct terms of the question."""
    found: Sequence[Index]
    """For each of them the places where it occurs: once for each time it is said."""


class Layout(NamedTuple):
    """What depends on the segment alone, by place in reading order."""

    reach: tuple[Floats, ...]
    """What place i hears of place i + d, and i + d of i, for d = 1, 2, ..: 0 across conversations."""
    context: Floats
    """g: how much of its neighbours a memory takes."""
    norm: Floats
    """k1 * (1 - b + b * length / mean length)."""


def words_of(segment: Segment, terms: Sequence[int], weighting: Weighting) -> Words:
    """Score every living memory of a segment by the words of a question."""
    hashes, said = np.unique(np.array(terms, np.uint32), return_counts=True)
    layout = layout_of(segment, weighting)
    found = [_places(segment, int(number)) for number in hashes]
    scores = np.zeros(len(segment), np.float32)
    for part in _parts(len(hashes), len(segment)):
        _add(scores, found[part], said[part], layout, weighting)
    return Words(scores, hashes, found)


def matched(words: Words, places: Index, layout: Layout) -> npt.NDArray[np.uint64]:
    """Return which terms each memory or a neighbour of it holds: bit t stands for `words.hashes[t]`.

    Only the first `MATCHED_TERMS` have a bit.
    """
    margin = len(layout.reach)
    own = np.zeros(len(words.scores) + 2 * margin, np.uint64)
    for term, of_term in enumerate(words.found[:MATCHED_TERMS]):
        own[of_term + margin] |= np.uint64(1 << term)
    found = own[places + margin]
    for distance, share in enumerate(layout.reach, 1):
        if len(share):
            last = len(share) - 1
            after = share[np.minimum(places, last)] > 0
            before = share[np.clip(places - distance, 0, last)] > 0
            # Beyond either end nothing is said, so it does not matter which share was looked at there.
            found |= np.where(after, own[places + margin + distance], np.uint64(0))
            found |= np.where(before, own[places + margin - distance], np.uint64(0))
    return found


def layout_of(segment: Segment, weighting: Weighting) -> Layout:
    """Return what scoring keeps with a segment."""
    return segment.once(weighting, lambda of: _layout(of, weighting))


def _layout(segment: Segment, weighting: Weighting) -> Layout:
    conversations = segment.rows.conversations[segment.order]
    lengths = segment.rows.lengths[segment.order].astype(np.float32)
    reach = tuple(
        np.where(
            (conversations[distance:] == conversations[:-distance])
            & (conversations[distance:] != NO_CONVERSATION),
            np.float32(share),
            np.float32(0),
        )
        for distance, share in enumerate(weighting.window, 1)
    )
    context = np.minimum(1, weighting.full_context / np.maximum(lengths, 1)).astype(np.float32)
    heard = lengths + context * _spread(lengths[None], reach)[0]
    mean = max(float(heard.mean()), 1.0) if len(heard) else 1.0
    norm = weighting.k1 * (1 - weighting.b + weighting.b * heard / mean)
    return Layout(reach, context, norm.astype(np.float32))


def _places(segment: Segment, number: int) -> Index:
    """Find where a term occurs: once for each time it is said. The low halves are compared first, as they are
    small."""
    rows = segment.rows
    at = np.flatnonzero(rows.low_hashes[: segment.term_count] == np.uint16(number & 0xFFFF))
    at = at[rows.hashes[at] == number]
    places = segment.places[rows.term_rows[at]]
    living: Index = places[places < len(segment)]
    return living


def _parts(terms: int, memories: int) -> Iterator[slice]:
    size = max(1, _CELLS // max(memories, 1))
    return (slice(start, start + size) for start in range(0, terms, size))


def _add(
    scores: Floats, found: Sequence[Index], said: npt.NDArray[np.int64], layout: Layout, weighting: Weighting
) -> None:
    """Add the scores of some terms, looking only at memories that can hear one of them."""
    hits = _hits(found)
    if not len(hits.places):
        return
    columns, local = _hearing(hits.places, len(scores), len(layout.reach))
    frequency = _frequencies(hits.terms, local, len(found), columns, layout)
    holding = np.count_nonzero(frequency, axis=1)
    rarity = np.log1p((len(scores) - holding + 0.5) / (holding + 0.5)) * said * (weighting.k1 + 1)
    saturated = frequency + layout.norm[columns]
    np.divide(frequency, saturated, out=saturated)
    scores[columns] += rarity.astype(np.float32) @ saturated


def _hits(found: Sequence[Index]) -> Hits:
    if not found:
        return Hits(np.zeros(0, np.intp), np.zeros(0, np.intp))
    sizes = [len(places) for places in found]
    return Hits(np.concatenate(found), np.repeat(np.arange(len(found)), sizes))


def _hearing(places: Index, memories: int, reach: int) -> tuple[Index, Index]:
    """Return the places at most `reach` away from one of these, ascending, and where among them these are."""
    near = np.zeros(memories + 2 * reach, np.bool_)
    for shift in range(2 * reach + 1):
        near[places + shift] = True
    near = near[reach : reach + memories]
    columns: Index = np.flatnonzero(near)
    local: Index = (np.cumsum(near) - 1)[places]
    return columns, local


def _frequencies(hits: Index, local: Index, terms: int, columns: Index, layout: Layout) -> Floats:
    """Return tf of each term (row) in each memory (column): term `hits[i]` occurs in column `local[i]`."""
    cells = np.bincount(hits * len(columns) + local, minlength=terms * len(columns))
    own = cells.reshape(terms, len(columns)).astype(np.float32)
    # Columns that are next to each other only here have the margins of both between them, where no term is.
    reach = tuple(share[columns[:-distance]] for distance, share in enumerate(layout.reach, 1))
    return own + layout.context[columns] * _spread(own, reach)


def _spread(values: Floats, reach: Sequence[Floats]) -> Floats:
    """Return what each column hears of its neighbours."""
    heard = np.zeros_like(values)
    for distance, share in enumerate(reach, 1):
        heard[:, :-distance] += values[:, distance:] * share
        heard[:, distance:] += values[:, :-distance] * share
    return heard
