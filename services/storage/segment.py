"""A segment: what ranking needs of one owner's memories and one model's vectors, in flat arrays in memory.

    segment = Segment.build(columns, revision=7, vectors=vectors)
    newer = segment.apply(Delta(revision=9, changed=columns, deleted=ids, vectors=vectors))

It holds no text: 0.6 MB for 1,000 memories of 17 words with vectors of 384 numbers (8 bits each, one scale a
vector). A segment answers for exactly one revision of its owner. It never changes while anybody looks:
`apply` returns another one and leaves this as it was. The two share their large arrays: new memories are
written behind the last row that older segments look at, an update is a new row, and a vector goes into a row
which older segments know to have none. What is small (reading order, index by id, which rows have vectors) is
copied. Only the newest of a line may write so; applying something to an older one copies everything first.
Ranking may run in another thread meanwhile; two threads must not apply at once.

Rows that are dead are left out when they are a quarter of all: then `apply` copies what lives.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from services.storage.columns import Columns, Ids, Vectors, id_array
from services.storage.rows import NO_CONVERSATION, Rows

T = TypeVar("T")
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_DEAD_SHARE = 4
"""One row in so many may be dead before what lives is copied; below `_DEAD_ROWS` nobody cares."""
_DEAD_ROWS = 256
_BLOCK = 2048
"""Vectors that are widened to float32 at a time: they stay in the cache, and no copy of all is made."""
_INSERTS = 64
"""Up to so many new memories are put into the reading order one by one; more are sorted in at once."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What the change feed says of an owner between two revisions. Saying it twice does no harm."""

    revision: int
    """The owner's revision that the segment answers for afterwards."""
    changed: Columns = field(default_factory=lambda: Columns.of(()))
    """Memories as they are now: new ones, and updated ones, which thereby lose their vector."""
    deleted: Ids = field(default_factory=lambda: np.zeros(0, "S16"))
    """Memories that are no longer there; unknown ones are passed over."""
    vectors: Vectors | None = None
    """Vectors of the segment's model; those of unknown memories are passed over."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One owner's memories at one revision, with one model's vectors. See the module for what it promises."""

    rows: Rows
    revision: int
    count: int
    """Rows that this segment looks at, dead ones included."""
    term_count: int
    tag_count: int
    order: Index
    """Living rows in reading order: by conversation, position, time, id; those of no conversation last."""
    by_id: Index
    """Living rows by id."""
    has_vector: Mask
    """By row; false for dead rows."""
    vector_sum: npt.NDArray[np.float64]
    serial: int
    memo: dict[Hashable, Any] = field(default_factory=dict)
    """What `once` keeps."""

    @staticmethod
    def build(
        columns: Columns, *, revision: int, dimensions: int = 0, vectors: Vectors | None = None
    ) -> "Segment":
        """Build the segment of an owner from all of their memories.

        `dimensions` is needed when vectors are to come later. Vectors of unknown memories are passed over.
        """
        rows = Rows(vectors.values.shape[1] if vectors is not None else dimensions)
        rows.append(columns)
        segment = _whole(rows, revision, np.zeros(rows.count, np.bool_))
        return segment if vectors is None else segment.apply(Delta(revision, vectors=vectors))

    def __len__(self) -> int:
        """How many memories live in it."""
        return len(self.order)

    @property
    def nbytes(self) -> int:
        """How much memory it takes, with the arrays that it shares."""
        own = self.order.nbytes + self.by_id.nbytes + self.has_vector.nbytes
        return self.rows.nbytes + 3 * own

    @property
    def vector_count(self) -> int:
        """How many of its memories have a vector."""
        return int(np.count_nonzero(self.has_vector))

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers of its living memories, sorted, each once."""
        return self.once("speakers", Segment._speakers)

    def once(self, key: Hashable, make: Callable[["Segment"], T]) -> T:
        """Return `make(self)`, computed at the first time and kept with the segment."""
        if key not in self.memo:
            self.memo[key] = make(self)
        return cast("T", self.memo[key])

    def find(self, ids: Ids) -> Index:
        """Return the rows of memories by id, -1 where there is none (living)."""
        if not len(self.by_id):
            return np.full(len(ids), -1, np.intp)
        known = self.rows.ids[self.by_id]
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[at] == ids, self.by_id[at], -1)

    @property
    def places(self) -> Index:
        """The place of each row in reading order; `len(segment)` for dead rows."""
        return self.once("places", Segment._places)

    def ids_of(self, rows: Index) -> list[bytes]:
        """Return the ids of rows, 16 bytes each."""
        joined = self.rows.ids[rows].tobytes()
        return [joined[at : at + 16] for at in range(0, len(joined), 16)]

    def neighbours(self, id_: bytes, before: int, after: int) -> tuple[list[bytes], list[bytes]]:
        """Return the ids of the memories before and after one in its conversation, in reading order."""
        row = int(self.find(id_array([id_]))[0])
        if row < 0 or self.rows.conversations[row] == NO_CONVERSATION:
            return [], []
        at = int(self.places[row])
        return self._alike(row, max(0, at - before), at), self._alike(row, at + 1, at + 1 + after)

    def dot(self, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the dot product of each row's vector with another; of no meaning for rows without one."""
        products = np.empty(self.count, np.float32)
        block = np.empty((min(self.count, _BLOCK), self.rows.dimensions), np.float32)
        for start in range(0, self.count, _BLOCK):
            part = self.rows.vectors[start : min(start + _BLOCK, self.count)]
            np.copyto(block[: len(part)], part)
            np.dot(block[: len(part)], vector, out=products[start : start + len(part)])
        products *= self.rows.scales[: self.count]
        return products

    def mean_dot(self, vector: npt.NDArray[np.float32]) -> float:
        """Return the mean dot product of all vectors of living memories with another; there must be one."""
        return float(self.vector_sum @ vector) / self.vector_count

    def tagged(self, tag: str) -> Mask:
        """Return which rows bear a label ("l" and the label) or name a person ("p" and the person)."""
        bearing = np.zeros(self.count, np.bool_)
        code = self.rows.tag_codes.find(tag)
        bearing[self.rows.tag_rows[: self.tag_count][self.rows.tags[: self.tag_count] == code]] = True
        return bearing

    def detached(self) -> "Segment":
        """Return the same segment with arrays of its own: what either becomes does not touch the other."""
        return _on_own_rows(self)

    def apply(self, delta: Delta) -> "Segment":
        """Return the segment at the delta's revision; this one stays as it is.

        Raises ValueError for a delta that leads back in time.
        """
        if delta.revision < self.revision:
            raise ValueError(f"a segment at revision {self.revision} does not go back to {delta.revision}")
        segment = _with_memories(_writable(self), delta)
        if delta.vectors is not None and len(delta.vectors):
            segment = _with_vectors(segment, delta.vectors)
        return _without_dead_rows(segment)

    def _alike(self, row: int, start: int, end: int) -> list[bytes]:
        part = self.order[start:end]
        conversations = self.rows.conversations
        return self.ids_of(part[conversations[part] == conversations[row]])

    def _places(self) -> Index:
        places = np.full(self.count, len(self), np.intp)
        places[self.order] = np.arange(len(self))
        return places

    def _speakers(self) -> tuple[str, ...]:
        names = self.rows.speaker_codes.names()
        used = np.unique(self.rows.speakers[self.order])
        return tuple(sorted(names[code] for code in used if code))


def _whole(rows: Rows, revision: int, has_vector: Mask) -> Segment:
    """Return the segment of rows that all live."""
    living = np.arange(rows.count, dtype=np.intp)
    return Segment(
        rows=rows,
        revision=revision,
        count=rows.count,
        term_count=rows.term_count,
        tag_count=rows.tag_count,
        order=_in_reading_order(rows, living),
        by_id=_by_id(rows, living),
        has_vector=has_vector,
        vector_sum=rows.sum_of_vectors(np.flatnonzero(has_vector)),
        serial=rows.newest,
    )


def _writable(segment: Segment) -> Segment:
    """Return a segment that may write behind its last row: itself, or a copy if another one already did."""
    rows = segment.rows
    seen = (segment.serial, segment.count, segment.term_count, segment.tag_count)
    if seen == (rows.newest, rows.count, rows.term_count, rows.tag_count):
        return segment
    return _on_own_rows(segment)


def _on_own_rows(segment: Segment) -> Segment:
    rows = segment.rows.copy(segment.count, segment.term_count, segment.tag_count)
    return replace(segment, rows=rows, serial=rows.newest, memo={})


def _with_memories(segment: Segment, delta: Delta) -> Segment:
    """Return the segment with new rows for what changed, and without the old rows of what changed or is
    gone."""
    rows, first, changed = segment.rows, segment.count, delta.changed
    known = segment.find(changed.ids)
    fresh = (known < 0) | (rows.revisions[known] < changed.revisions) if len(rows.revisions) else known < 0
    gone = np.concatenate([known[fresh], segment.find(delta.deleted)])
    if fresh.any():
        rows.append(changed if fresh.all() else changed.only(fresh))
    return _moved(segment, delta.revision, np.unique(gone[gone >= 0]), np.arange(first, rows.count))


def _moved(segment: Segment, revision: int, gone: Index, added: Index) -> Segment:
    """Return the segment without some rows and with others, which are already written."""
    rows = segment.rows
    lost = gone[segment.has_vector[gone]]
    has_vector = np.concatenate([segment.has_vector, np.zeros(len(added), np.bool_)])
    has_vector[gone] = False
    rows.newest += 1
    return Segment(
        rows=rows,
        revision=revision,
        count=rows.count,
        term_count=rows.term_count,
        tag_count=rows.tag_count,
        order=_reordered(rows, _less(segment.order, gone, rows.count), added),
        by_id=_indexed(rows, _less(segment.by_id, gone, rows.count), added),
        has_vector=has_vector,
        vector_sum=segment.vector_sum - rows.sum_of_vectors(lost) if len(lost) else segment.vector_sum,
        serial=rows.newest,
    )


def _with_vectors(segment: Segment, vectors: Vectors) -> Segment:
    at = segment.find(vectors.ids)
    values, at = vectors.values[at >= 0], at[at >= 0]
    lost = at[segment.has_vector[at]]
    if len(lost):
        # Rare: a vector made anew for the same content. Older segments may be reading the one that is there.
        segment = _on_own_rows(segment)
    vector_sum = segment.vector_sum - segment.rows.sum_of_vectors(lost)
    segment.rows.attach(at, values)
    has_vector = segment.has_vector.copy()
    has_vector[at] = True
    vector_sum += segment.rows.sum_of_vectors(at)
    return replace(segment, has_vector=has_vector, vector_sum=vector_sum, memo={})


def _without_dead_rows(segment: Segment) -> Segment:
    dead = segment.count - len(segment)
    if dead < _DEAD_ROWS or dead * _DEAD_SHARE < segment.count:
        return segment
    living = np.sort(segment.order)
    return _whole(segment.rows.compacted(living), segment.revision, segment.has_vector[living])


def _in_reading_order(rows: Rows, living: Index) -> Index:
    by_id = _by_id(rows, living)
    keys = (rows.times[by_id], rows.positions[by_id], rows.conversations[by_id])
    return by_id[np.lexsort(keys)]


def _by_id(rows: Rows, living: Index) -> Index:
    ids = rows.ids[living]
    if (ids[1:] > ids[:-1]).all():
        return living
    return living[np.argsort(ids, kind="stable")]


def _less(index: Index, gone: Index, count: int) -> Index:
    if not len(gone):
        return index
    dead = np.zeros(count, np.bool_)
    dead[gone] = True
    return index[~dead[index]]


def _indexed(rows: Rows, by_id: Index, added: Index) -> Index:
    added = _by_id(rows, added)
    return np.insert(by_id, np.searchsorted(rows.ids[by_id], rows.ids[added]), added)


def _reordered(rows: Rows, order: Index, added: Index) -> Index:
    """Put new rows where they belong in reading order."""
    if len(added) > _INSERTS:
        return _in_reading_order(rows, np.concatenate([order, added]))
    added = _in_reading_order(rows, added)

    def key(row: int) -> tuple[int, int, int, bytes]:
        return rows.conversations[row], rows.positions[row], rows.times[row], rows.ids[row]

    places = [bisect_left(order, key(row), key=key) for row in added]
    return np.insert(order, places, added)
