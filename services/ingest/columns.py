"""Memories that come to a stream column by column: the rows that they would be as items."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count, repeat

from reverie.ingest.v1.ingest_pb2 import CreateMemoryRequest, MemoryColumns
from services.ingest import ids, rows
from services.ingest.content import INSTANT, NOTE
from services.ingest.lane import Owner
from services.ingest.rows import NO_OFFSET, Row
from services.ingest.validation import EARLIEST, LATEST, MAX_OFFSET
from services.runtime.errors import InvalidArgument, Violation

_ID = 16
_SECOND = 1_000_000
_EARLIEST, _LATEST = EARLIEST * _SECOND, LATEST * _SECOND
_MOST_MINUTES = MAX_OFFSET // 60

_NEEDED = ("texts", "occurred_at")
_LEFT_OUT = ("occurred_precisions", "occurred_offsets", "kinds", "conversations", "speakers", "positions")


def check(columns: MemoryColumns) -> None:
    """InvalidArgument if its columns are not of one length."""
    memories = len(columns.sequences)
    broken = [
        Violation(f"columns.{name}", "has an entry for each sequence")
        for name in (*_NEEDED, *_LEFT_OUT)
        if len(getattr(columns, name)) != memories and (name in _NEEDED or len(getattr(columns, name)))
    ]
    if len(columns.ids) != memories * _ID:
        broken.append(Violation("columns.ids", f"has {_ID} bytes for each sequence"))
    if broken:
        raise InvalidArgument.collected(broken)


def rows_of(owner: Owner, columns: MemoryColumns, now: datetime) -> Iterator[Row | InvalidArgument]:
    """The row of each memory, or what is wrong with it, as it would be of an item."""
    for at, id_, text, occurred_at, precision, offset, kind, conversation, speaker, position in zip(
        count(),
        _cut(columns.ids),
        columns.texts,
        columns.occurred_at,
        columns.occurred_precisions or repeat(INSTANT),
        columns.occurred_offsets or repeat(NO_OFFSET),
        columns.kinds or repeat(NOTE),
        columns.conversations or repeat(""),
        columns.speakers or repeat(""),
        columns.positions or repeat(0),
    ):
        found = None
        if (
            ids.is_id(id_, now)
            and _EARLIEST <= occurred_at < _LATEST
            and (offset == NO_OFFSET or -_MOST_MINUTES <= offset <= _MOST_MINUTES)
            and position >= 0
        ):
            found = rows.common(
                owner, id_, text, kind or NOTE, precision or INSTANT, occurred_at, offset,
                conversation, speaker, position if conversation else None,
            )  # fmt: skip
        yield found or _long_way(owner, columns, at, now)


def _long_way(owner: Owner, columns: MemoryColumns, at: int, now: datetime) -> Row | InvalidArgument:
    """What is made of it as an item."""
    try:
        return rows.row(owner, _item(columns, at), None, 0, now)
    except InvalidArgument as wrong:
        return wrong


def _item(columns: MemoryColumns, at: int) -> CreateMemoryRequest:
    request = CreateMemoryRequest(memory_id=ids.to_text(columns.ids[_ID * at :][:_ID]))
    memory = request.memory
    memory.text = columns.texts[at]
    seconds, microseconds = divmod(columns.occurred_at[at], _SECOND)
    memory.occurred_at.seconds, memory.occurred_at.nanos = seconds, microseconds * 1_000
    if columns.occurred_precisions:
        memory.occurred_precision = columns.occurred_precisions[at]
    if columns.occurred_offsets and columns.occurred_offsets[at] != NO_OFFSET:
        memory.occurred_utc_offset.seconds = columns.occurred_offsets[at] * 60
    if columns.kinds:
        memory.kind = columns.kinds[at]
    if columns.conversations and columns.conversations[at]:
        memory.source.conversation = columns.conversations[at]
        memory.source.speaker = columns.speakers[at] if columns.speakers else ""
        memory.source.position = columns.positions[at] if columns.positions else 0
    return request


def _cut(joined: bytes) -> Sequence[bytes]:
    return [joined[at : at + _ID] for at in range(0, len(joined), _ID)]
