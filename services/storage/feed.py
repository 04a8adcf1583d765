"""What ranking reads of an owner: everything once, and from then on what has changed.

All functions read in the snapshot of the connection that they are given, if it has one.
"""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import UUID

import numpy as np
import numpy.typing as npt

from services.storage import queries
from services.storage.columns import Columns, Ids, Row, Vectors, id_array
from services.storage.freshness import State
from services.storage.segment import Delta, Segment

if TYPE_CHECKING:
    import asyncpg

    from services.storage.database import Connection, Pool

MOST_CHANGES = 2_000
"""Changes that are read one by one; of more, everything is read anew, which is cheaper from there on."""

VECTORS_AT_A_TIME = 4_096
"""Vectors in one step of loading: 9 MiB while they are float32."""

_POSTGRES_EPOCH = 946_684_800_000_000
_NO_ID = UUID(int=0)


class Now(NamedTuple):
    """What a snapshot shows of an owner and of the database."""

    state: State
    model: int
    """The model whose vectors answer questions."""

    @classmethod
    def of(cls, row: "asyncpg.Record") -> Self:
        """What a row says whose first columns are those of `search_state`."""
        return cls(State.of(row), row[3])

    @property
    def empty(self) -> bool:
        """Whether it is as if the owner had no memories."""
        return self.state.revision == 0 or self.state.erased


class Cosines(NamedTuple):
    """Cosines of a question with memories that have a vector."""

    state: State
    """The state that they are of."""
    ids: Ids
    values: npt.NDArray[np.float32]

    def aligned(self, segment: Segment) -> npt.NDArray[np.float32]:
        """Return one for each row of a segment; NaN where there is none."""
        near = np.full(segment.count, np.nan, np.float32)
        rows = segment.find(self.ids)
        near[rows[rows >= 0]] = self.values[rows >= 0]
        return near


async def now(connection: "Connection | Pool", owner: UUID) -> Now:
    """Read the state of things."""
    (row,) = await connection.fetch(queries.text("search_state"), owner)
    return Now.of(row)


async def columns(connection: "Connection", owner: UUID) -> Columns:
    """Read all living memories of an owner: 1 ms for 1,000."""
    row = await connection.fetchrow(queries.text("search_columns"), owner)
    assert row is not None, "an aggregate has one row"
    ids = row["ids"]
    if ids is None:
        return Columns.of(())
    small, sizes = np.frombuffer(row["small"], ">i8"), np.frombuffer(row["sizes"], ">i8")
    tagged = _places(ids, row["tagged"])
    return Columns.of_blobs(
        ids=ids,
        revisions=row["revisions"],
        lengths=_thirty_two_bits(sizes),
        terms=row["terms"],
        occurred_at=_since_1970(np.frombuffer(row["occurred_at"], ">i8")),
        occurred_until=_ends(ids, row["ended"], row["ends"]),
        offset_minutes=_sixteen_bits(small >> 48),
        precisions=_sixteen_bits(small >> 32),
        kinds=_sixteen_bits(small >> 16),
        traits=_sixteen_bits(small),
        positions=_thirty_two_bits(sizes >> 32),
        conversations=row["conversations"].decode().split("\0"),
        speakers=row["speakers"].decode().split("\0"),
        labels=_spread(len(sizes), tagged, row["labels"]),
        people=_spread(len(sizes), tagged, row["people"]),
    )


async def changes(
    connection: "Connection", owner: UUID, since: int, until: int, vectors: "Since | None"
) -> Delta | None:
    """Read what has changed between two revisions; None if that is too much.

    Without `vectors` the change says nothing of them.
    """
    most = MOST_CHANGES + 1
    rows = await connection.fetch(queries.text("search_changes"), owner, since, most)
    attached = None if vectors is None else await _attached(connection, owner, vectors, most)
    if len(rows) == most or (attached is not None and len(attached) == most):
        return None
    return Delta(
        revision=until,
        changed=Columns.of(_row(row) for row in rows if row[2] is not None),
        deleted=id_array(row[0].bytes for row in rows if row[2] is None),
        vectors=attached,
    )


class Since(NamedTuple):
    """Which vectors are asked for: those that a model made after a revision."""

    model: int
    dimensions: int
    revision: int


async def _attached(connection: "Connection", owner: UUID, since: Since, most: int) -> Vectors:
    rows = await connection.fetch(queries.text("search_vectors"), owner, since.model, since.revision, most)
    values = np.frombuffer(b"".join(row[1] for row in rows), "<f4").reshape(len(rows), since.dimensions)
    return Vectors(id_array(row[0].bytes for row in rows), values)


async def cosines(connection: "Connection | Pool", owner: UUID, model: int, vector: bytes) -> Cosines:
    """Compute the cosines of a question with all vectors of an owner, in the database."""
    (row,) = await connection.fetch(queries.text("search_cosines"), owner, model, vector)
    values = np.frombuffer(row["cosines"] or b"", ">f4").astype(np.float32)
    return Cosines(State.of(row), np.frombuffer(row["ids"] or b"", "S16"), values)


async def vectors(
    connection: "Connection", owner: UUID, model: int, dimensions: int
) -> AsyncIterator[Vectors]:
    """Read all vectors of an owner, some at a time."""
    last = _NO_ID
    while True:
        data = bytearray()

        async def take(chunk: bytes, to: bytearray = data) -> None:
            to += chunk

        await connection.copy_from_query(
            queries.text("copy_vectors"), owner, model, last, VECTORS_AT_A_TIME, output=take, format="binary"
        )
        some = Vectors.of_copy(memoryview(data), dimensions)
        yield some
        if len(some) < VECTORS_AT_A_TIME:
            return
        last = UUID(bytes=bytes(some.ids[-1]).ljust(16, b"\0"))


def _row(row: "asyncpg.Record") -> Row:
    (id_, revision, terms, at, until, offset, precision, kind, traits, conversation, speaker, position,
     labels, people) = row  # fmt: skip
    return Row(
        id=id_.bytes,
        revision=revision,
        terms=terms,
        occurred_at=at,
        occurred_until=until or 0,
        offset_minutes=offset or 0,
        precision=precision or 0,
        kind=kind or 0,
        traits=traits or 0,
        conversation=conversation or "",
        speaker=speaker or "",
        position=position or 0,
        labels=labels or "",
        people=people or "",
    )


def _since_1970(since_2000: npt.NDArray[np.int64]) -> bytes:
    return (since_2000 + _POSTGRES_EPOCH).astype(">i8").tobytes()


def _sixteen_bits(numbers: npt.NDArray[np.int64]) -> bytes:
    return (numbers & 0xFFFF).astype(">u2").tobytes()


def _thirty_two_bits(numbers: npt.NDArray[np.int64]) -> bytes:
    return (numbers & 0xFFFF_FFFF).astype(">u4").tobytes()


def _places(ids: bytes, some: bytes | None) -> list[int]:
    """Return where some of the ids stand."""
    if not some:
        return []
    places = {ids[at : at + 16]: at // 16 for at in range(0, len(ids), 16)}
    return [places[some[at : at + 16]] for at in range(0, len(some), 16)]


def _ends(ids: bytes, ended: bytes | None, ends: bytes | None) -> bytes:
    """Return when each memory was over, 0 for most."""
    spread = np.zeros(len(ids) // 16, ">i8")
    if ended and ends:
        spread[_places(ids, ended)] = np.frombuffer(ends, ">i8") + _POSTGRES_EPOCH
    return spread.tobytes()


def _spread(size: int, places: Sequence[int], texts: Sequence[str] | None) -> list[str]:
    """Return `size` texts: those that some have in their places, empty ones elsewhere."""
    spread = [""] * size
    for place, text in zip(places, texts or (), strict=True):
        spread[place] = text
    return spread
