"""The large arrays behind segments: rows are written once, at the end, and never moved under a reader.

Several segments look at the same `Rows`, each at as many rows as it knows of. What lies before is never
written again, but for a vector's place, which stays unread until a segment says that the row has one.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.storage.columns import SEPARATOR, Columns, Ids

NO_CONVERSATION = np.iinfo(np.int32).max
"""Stands for "of no conversation", so that such rows come last in reading order."""

_GROWTH = 1.125
_BYTES_OF_NAME = 120
"""What a name in a table of codes takes, roughly: the string, its place in the dictionary, its code."""


class Codes:
    """Numbers for names, in the order of their appearance; only grows. The empty name is 0."""

    def __init__(self, names: Iterable[str] = ("",)) -> None:
        self._codes = {name: code for code, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._codes)

    def of(self, names: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return the numbers of names, new ones for new names."""
        codes = self._codes
        for name in dict.fromkeys(names):
            codes.setdefault(name, len(codes))
        return np.fromiter(map(codes.__getitem__, names), np.int32, len(names))

    def find(self, name: str) -> int:
        """Return the number of a name, -1 if it has none."""
        return self._codes.get(name, -1)

    def names(self) -> list[str]:
        """Return all names in the order of their numbers."""
        return list(self._codes)

    def copy(self) -> "Codes":
        """Return a table of its own with the same numbers."""
        return Codes(self._codes)


class Rows:
    """Arrays with room at their end, shared by a line of segments.

    `count` rows, `term_count` terms and `tag_count` tags are in use; `newest` is the serial number of the
    segment that may write behind them.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.count = self.term_count = self.tag_count = 0
        self.newest = 0
        self.conversation_codes, self.speaker_codes, self.tag_codes = Codes(), Codes(), Codes()
        self.ids: Ids = np.zeros(0, "S16")
        self.revisions = np.zeros(0, np.int64)
        self.times = np.zeros(0, np.int64)
        self.first_days = np.zeros(0, np.int32)
        self.last_days = np.zeros(0, np.int32)
        self.conversations = np.zeros(0, np.int32)
        self.speakers = np.zeros(0, np.int32)
        self.positions = np.zeros(0, np.int32)
        self.lengths = np.zeros(0, np.int32)
        self.kinds = np.zeros(0, np.int16)
        self.traits = np.zeros(0, np.int16)
        self.scales = np.zeros(0, np.float32)
        self.vectors = np.zeros((0, dimensions), np.int8)
        self.hashes = np.zeros(0, np.uint32)
        self.low_hashes = np.zeros(0, np.uint16)
        self.term_rows = np.zeros(0, np.int32)
        self.tags = np.zeros(0, np.int32)
        self.tag_rows = np.zeros(0, np.int32)

    @property
    def nbytes(self) -> int:
        """How much memory it takes, room at the end included."""
        names = len(self.conversation_codes) + len(self.speaker_codes) + len(self.tag_codes)
        arrays = sum(getattr(self, name).nbytes for name in (*_ROW_ARRAYS, *_TERM_ARRAYS, *_TAG_ARRAYS))
        return int(arrays) + names * _BYTES_OF_NAME

    def append(self, columns: Columns) -> None:
        """Write memories behind the last row, without vectors."""
        rows = np.arange(self.count, self.count + len(columns), dtype=np.int32)
        conversations = self.conversation_codes.of(columns.conversations)
        self._write(
            _ROW_ARRAYS,
            self.count,
            len(columns),
            ids=columns.ids,
            revisions=columns.revisions,
            times=columns.times,
            first_days=columns.first_days,
            last_days=columns.last_days,
            conversations=np.where(conversations == 0, NO_CONVERSATION, conversations),
            speakers=self.speaker_codes.of(columns.speakers),
            positions=columns.positions,
            lengths=columns.lengths,
            kinds=columns.kinds,
            traits=columns.traits,
        )
        self._append_terms(columns.terms, np.repeat(rows, columns.lengths))
        self._append_tags(rows, "l", columns.labels)
        self._append_tags(rows, "p", columns.people)
        self.count += len(columns)

    def attach(self, rows: npt.NDArray[np.intp], vectors: npt.NDArray[np.float32]) -> None:
        """Write vectors, in 8 bits with a scale each, into rows of which no segment says that they have
        one."""
        scales = np.abs(vectors).max(axis=1, initial=0) / 127
        safe = np.where(scales > 0, scales, 1)[:, None]
        self.vectors[rows] = np.rint(vectors / safe)
        self.scales[rows] = scales

    def sum_of_vectors(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Return the sum of the vectors of rows, as they are kept."""
        total = np.zeros(self.dimensions)
        for start in range(0, len(rows), 1024):
            part = rows[start : start + 1024]
            total += self.scales[part] @ self.vectors[part].astype(np.float32)
        return total

    def copy(self, count: int, term_count: int, tag_count: int) -> "Rows":
        """Return rows of one's own: the first `count` with their terms and tags."""
        other = self._empty()
        for names, size in ((_ROW_ARRAYS, count), (_TERM_ARRAYS, term_count), (_TAG_ARRAYS, tag_count)):
            for name in names:
                setattr(other, name, getattr(self, name)[:size].copy())
        other.count, other.term_count, other.tag_count = count, term_count, tag_count
        return other

    def compacted(self, living: npt.NDArray[np.intp]) -> "Rows":
        """Return rows of one's own with only these, in this ascending order."""
        other = self._empty()
        moved = np.full(self.count, -1, np.int32)
        moved[living] = np.arange(len(living), dtype=np.int32)
        terms = moved[self.term_rows[: self.term_count]]
        tags = moved[self.tag_rows[: self.tag_count]]
        for names, keep in (
            (_ROW_ARRAYS, living),
            (_TERM_ARRAYS, np.flatnonzero(terms >= 0)),
            (_TAG_ARRAYS, np.flatnonzero(tags >= 0)),
        ):
            for name in names:
                setattr(other, name, getattr(self, name)[keep])
        other.term_rows, other.tag_rows = terms[terms >= 0], tags[tags >= 0]
        other.count, other.term_count, other.tag_count = len(living), len(other.hashes), len(other.tags)
        return other

    def _empty(self) -> "Rows":
        other = Rows(self.dimensions)
        other.conversation_codes = self.conversation_codes.copy()
        other.speaker_codes = self.speaker_codes.copy()
        other.tag_codes = self.tag_codes.copy()
        return other

    def _append_terms(self, hashes: npt.NDArray[np.uint32], rows: npt.NDArray[np.int32]) -> None:
        low = hashes.astype(np.uint16)
        self._write(_TERM_ARRAYS, self.term_count, len(hashes), hashes=hashes, low_hashes=low, term_rows=rows)
        self.term_count += len(hashes)

    def _append_tags(self, rows: npt.NDArray[np.int32], sort: str, joined: Sequence[str]) -> None:
        tags = [
            (int(rows[at]), sort + name)
            for at, names in enumerate(joined)
            if names
            for name in names.split(SEPARATOR)
        ]
        codes = self.tag_codes.of([name for _, name in tags])
        of_rows = np.array([row for row, _ in tags], np.int32)
        self._write(_TAG_ARRAYS, self.tag_count, len(tags), tags=codes, tag_rows=of_rows)
        self.tag_count += len(tags)

    def _write(self, names: Sequence[str], at: int, more: int, **values: npt.NDArray[Any]) -> None:
        for name in names:
            array = getattr(self, name)
            if at + more > len(array):
                array = _grown(array, at, at + more)
                setattr(self, name, array)
            if name in values:
                array[at : at + more] = values[name]


_ROW_ARRAYS = (
    "ids", "revisions", "times", "first_days", "last_days", "conversations", "speakers", "positions",
    "lengths", "kinds", "traits", "scales", "vectors",
)  # fmt: skip
_TERM_ARRAYS = ("hashes", "low_hashes", "term_rows")
_TAG_ARRAYS = ("tags", "tag_rows")


def _grown(array: npt.NDArray[Any], used: int, needed: int) -> npt.NDArray[Any]:
    # The first fill is exact: most segments are loaded whole and live shorter than it takes to grow.
    room = needed if used == 0 else int(needed * _GROWTH) + 16
    larger = np.zeros((room, *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return larger
