"""Memories with nothing but the usual fields, as the columns in which a stream takes many of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from reverie.ingest.v1.ingest_pb2 import MemoryColumns
from reverie_client.content import KIND_NUMBERS, PRECISION_NUMBERS, NewMemory
from reverie_client.times import instant_of, microseconds, offset_of

_MINUTE = timedelta(minutes=1)
_NO_OFFSET = -32_768
_FIXED = 64
"""Bytes that a memory takes beside its texts; rather too many than too few."""
_MOST_POSITION = 2**31 - 1


class Usual(NamedTuple):
    """One memory, in the order of the columns."""

    id: bytes
    text: str
    occurred_at: int
    precision: int
    offset: int
    kind: int
    conversation: str
    speaker: str
    position: int


def usual(new: NewMemory) -> Usual | None:
    """What columns say of a memory, which has its id and time; None if they do not say everything.

    ValueError for a time without UTC offset.
    """
    source, when = new.source, new.occurred_at
    if (
        new.id is None
        or when is None
        or new.occurred_until is not None
        or new.place is not None
        or new.people
        or new.labels
        or new.language
        or new.attachments
        or (source is not None and not (source.conversation and 0 <= source.position <= _MOST_POSITION))
    ):
        return None
    at, precision = instant_of(when)
    offset = offset_of(at)
    return Usual(
        new.id.bytes,
        new.text,
        microseconds(at),
        PRECISION_NUMBERS[precision],
        offset // _MINUTE if offset else _NO_OFFSET,
        KIND_NUMBERS[new.kind],
        source.conversation if source is not None else "",
        source.speaker if source is not None else "",
        source.position if source is not None else 0,
    )


def size_of(one: Usual) -> int:
    """How many bytes it takes; rather too many than too few. UnicodeEncodeError if it is no text."""
    texts = one.text + one.conversation + one.speaker
    return _FIXED + (len(texts) if texts.isascii() else len(texts.encode()))


def put(columns: MemoryColumns, sequences: Sequence[int], memories: Sequence[Usual]) -> None:
    """Fills empty columns."""
    ids, texts, occurred_at, precisions, offsets, kinds, conversations, speakers, positions = zip(
        *memories, strict=True
    )
    columns.sequences.extend(sequences)
    columns.ids = b"".join(ids)
    columns.texts.extend(texts)
    columns.occurred_at.extend(occurred_at)
    columns.occurred_precisions.extend(precisions)
    if any(offset != _NO_OFFSET for offset in offsets):
        columns.occurred_offsets.extend(offsets)
    columns.kinds.extend(kinds)
    if any(conversations):
        columns.conversations.extend(conversations)
        columns.speakers.extend(speakers)
        columns.positions.extend(positions)
