"""Memories and vectors as they come from the database into a segment: columns, not objects.

A whole owner arrives as a few blobs (`string_agg` of one column each, all in the same order), a change as a
few rows:

    Columns.of([Row(id=.., revision=.., terms=.., ..)])
    Columns.of_blobs(ids=.., revisions=.., terms=.., ..)
    Vectors.of_copy(data, dimensions=384)     # COPY (SELECT id, emb ..) TO STDOUT (FORMAT binary)

Columns that may be NULL must come through `coalesce`: `string_agg` skips NULLs and shifts a column against
the others.
"""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from services.runtime.terms import Precision

Ids = npt.NDArray[np.bytes_]
"""UUIDs as 16 bytes each, dtype S16: compares as the database does."""

SEPARATOR = "\x1f"
"""Joins labels, and people, of one memory; the contract refuses it inside them."""

EPOCH = date(1970, 1, 1)
_DAY = 86_400_000_000
_MINUTE = 60_000_000


class Row(NamedTuple):
    """One living memory, as ranking sees it."""

    id: bytes
    """16 bytes."""
    revision: int
    terms: bytes
    """As `services.runtime.terms.terms_and_traits` made them."""
    occurred_at: int
    """Microseconds since 1970-01-01 UTC."""
    occurred_until: int = 0
    """The same; 0 if it took no time."""
    offset_minutes: int = 0
    """How far the person's clock was ahead of UTC."""
    precision: int = Precision.INSTANT
    kind: int = 0
    traits: int = 0
    conversation: str = ""
    """Empty: of none."""
    speaker: str = ""
    position: int = 0
    labels: str = ""
    """Joined by `SEPARATOR`."""
    people: str = ""
    """Joined by `SEPARATOR`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Living memories of one owner, each id once; item i of every column belongs to memory i."""

    ids: Ids
    revisions: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    """How many terms each memory has."""
    terms: npt.NDArray[np.uint32]
    """The terms of all, one memory after the other."""
    times: npt.NDArray[np.int64]
    first_days: npt.NDArray[np.int32]
    """The first local day that each memory may have happened on, since 1970-01-01."""
    last_days: npt.NDArray[np.int32]
    """The last one: later than the first for a coarse precision or something that took days."""
    kinds: npt.NDArray[np.int16]
    traits: npt.NDArray[np.int16]
    positions: npt.NDArray[np.int32]
    conversations: Sequence[str]
    speakers: Sequence[str]
    labels: Sequence[str]
    people: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        """Turn rows into columns: for changes; some microseconds a row."""
        rows = list(rows)
        terms = [row.terms for row in rows]
        times = np.array([row.occurred_at for row in rows], np.int64)
        until = np.array([row.occurred_until for row in rows], np.int64)
        offsets = np.array([row.offset_minutes for row in rows], np.int64)
        precisions = np.array([row.precision for row in rows], np.int64)
        first, last = local_days(times, until, offsets, precisions)
        return cls(
            ids=id_array(row.id for row in rows),
            revisions=np.array([row.revision for row in rows], np.int64),
            lengths=np.array([len(blob) // 4 for blob in terms], np.int32),
            terms=np.frombuffer(b"".join(terms), "<u4"),
            times=times,
            first_days=first,
            last_days=last,
            kinds=np.array([row.kind for row in rows], np.int16),
            traits=np.array([row.traits for row in rows], np.int16),
            positions=np.array([row.position for row in rows], np.int32),
            conversations=[row.conversation for row in rows],
            speakers=[row.speaker for row in rows],
            labels=[row.labels for row in rows],
            people=[row.people for row in rows],
        )

    @classmethod
    def of_blobs(
        cls,
        *,
        ids: bytes,
        revisions: bytes,
        lengths: bytes,
        terms: bytes,
        occurred_at: bytes,
        occurred_until: bytes,
        offset_minutes: bytes,
        precisions: bytes,
        kinds: bytes,
        traits: bytes,
        positions: bytes,
        conversations: Sequence[str],
        speakers: Sequence[str],
        labels: Sequence[str],
        people: Sequence[str],
    ) -> Self:
        """Turn columns as PostgreSQL sends them into arrays: for a whole owner.

        `uuid_send` for the ids; `int8send` for revisions and times (microseconds since 1970, until: 0 if
        none); `int4send` for lengths (number of terms) and positions; `int2send` for the other numbers; terms
        as stored. Raises ValueError if a column is shorter or longer than the others.
        """
        times = _numbers(occurred_at, ">i8").astype(np.int64)
        until = _numbers(occurred_until, ">i8").astype(np.int64)
        offsets = _numbers(offset_minutes, ">i2").astype(np.int64)
        first, last = local_days(times, until, offsets, _numbers(precisions, ">i2").astype(np.int64))
        columns = cls(
            ids=np.frombuffer(ids, "S16"),
            revisions=_numbers(revisions, ">i8").astype(np.int64),
            lengths=_numbers(lengths, ">i4").astype(np.int32),
            terms=np.frombuffer(terms, "<u4"),
            times=times,
            first_days=first,
            last_days=last,
            kinds=_numbers(kinds, ">i2").astype(np.int16),
            traits=_numbers(traits, ">i2").astype(np.int16),
            positions=_numbers(positions, ">i4").astype(np.int32),
            conversations=conversations,
            speakers=speakers,
            labels=labels,
            people=people,
        )
        columns.check()
        return columns

    def only(self, keep: npt.NDArray[np.bool_]) -> "Columns":
        """Return some of the memories: those where `keep` is true."""
        chosen = np.flatnonzero(keep)
        places: list[int] = chosen.tolist()
        return Columns(
            ids=self.ids[chosen],
            revisions=self.revisions[chosen],
            lengths=self.lengths[chosen],
            terms=self.terms[np.repeat(keep, self.lengths)],
            times=self.times[chosen],
            first_days=self.first_days[chosen],
            last_days=self.last_days[chosen],
            kinds=self.kinds[chosen],
            traits=self.traits[chosen],
            positions=self.positions[chosen],
            conversations=[self.conversations[at] for at in places],
            speakers=[self.speakers[at] for at in places],
            labels=[self.labels[at] for at in places],
            people=[self.people[at] for at in places],
        )

    def check(self) -> None:
        """Raise ValueError if the columns do not fit each other."""
        own = {name: len(getattr(self, name)) for name in self.__slots__ if name not in {"terms", "ids"}}
        wrong = [f"{name} has {size}" for name, size in own.items() if size != len(self.ids)]
        if int(self.lengths.sum()) != len(self.terms):
            wrong.append(f"terms has {len(self.terms)} for lengths of {int(self.lengths.sum())}")
        if wrong:
            raise ValueError(f"columns of {len(self.ids)} memories do not fit: {', '.join(wrong)}")


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of some memories of one owner by one model: `values[i]`, of length 1, belongs to `ids[i]`."""

    ids: Ids
    values: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def none(cls, dimensions: int) -> Self:
        """No vectors."""
        return cls(np.zeros(0, "S16"), np.zeros((0, dimensions), np.float32))

    @classmethod
    def of_copy(cls, data: bytes | memoryview, dimensions: int) -> Self:
        """Turn the binary COPY of (id uuid, emb halfvec) into vectors: for a whole owner.

        Raises ValueError if a record is not of that shape, as when a vector has other dimensions.
        """
        halfvec = _halfvec(dimensions)
        record = np.dtype(
            [("fields", ">i2"), ("id_size", ">i4"), ("id", "S16"), ("size", ">i4"), ("vector", halfvec)]
        )
        body = memoryview(data)[_COPY_HEADER:-2]
        if len(body) % record.itemsize:
            raise ValueError(f"not a COPY of (uuid, halfvec({dimensions})): {len(data)} bytes")
        rows = np.frombuffer(body, record)
        if (rows["size"] != halfvec.itemsize).any() or (rows["id_size"] != 16).any():
            raise ValueError(f"not a COPY of (uuid, halfvec({dimensions}))")
        return cls(np.ascontiguousarray(rows["id"]), rows["vector"]["values"].astype(np.float32))


_COPY_HEADER = 11 + 4 + 4
"""Signature, flags, length of the extension; a trailer of two bytes ends the data."""


def _halfvec(dimensions: int) -> np.dtype[np.void]:
    """pgvector's binary form: dimensions, two bytes unused, the numbers."""
    return np.dtype([("dimensions", ">i2"), ("unused", ">i2"), ("values", ">f2", (dimensions,))])


def id_array(ids: Iterable[bytes]) -> Ids:
    """Put UUIDs of 16 bytes each into an array."""
    return np.frombuffer(b"".join(ids), "S16")


def _numbers(blob: bytes, dtype: str) -> npt.NDArray[np.signedinteger]:
    return np.frombuffer(blob, dtype)


def local_days(
    times: npt.NDArray[np.int64],
    until: npt.NDArray[np.int64],
    offset_minutes: npt.NDArray[np.int64],
    precisions: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the first and last local day that memories may have happened on, since 1970-01-01."""
    shift = offset_minutes * _MINUTE
    first = ((times + shift) // _DAY).astype(np.int32)
    last = np.maximum(first, np.where(until != 0, (until + shift) // _DAY, first)).astype(np.int32)
    for at in np.flatnonzero((precisions == Precision.YEAR) | (precisions == Precision.MONTH)):
        last[at] = max(last[at], _end_of_span(int(first[at]), int(precisions[at])))
    return first, last


def _end_of_span(first: int, precision: int) -> int:
    day = EPOCH + timedelta(days=first)
    month = 12 if precision == Precision.YEAR else day.month
    return (date(day.year, month, monthrange(day.year, month)[1]) - EPOCH).days
