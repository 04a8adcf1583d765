"""Memories that come to a stream column by column: the rows that they would be as items."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import repeat

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
    for id_, text, occurred_at, precision, offset, kind, conversation, speaker, position in zip(
        _cut(columns.ids),
        columns.texts,
        columns.occurred_at,
        columns.occurred_precisions or repeat(INSTANT),
        columns.occurred_offsets or repeat(NO_OFFSET),
        columns.kinds or repeat(NOTE),
        columns.conversations or repeat(""),
        columns.speakers or repeat(""),
        columns.positions or repeat(0),
        strict=False,  # what is left out repeats for ever
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
        if found is None:
            # The long way, as an item: that says what is wrong.
            item = CreateMemoryRequest(memory_id=ids.to_text(id_))
            rows.put_common(
                item.memory, text, kind, precision, occurred_at, offset, conversation, speaker, position
            )
            yield rows.tried(owner, item, None, 0, now)
        else:
            yield found


def _cut(joined: bytes) -> Sequence[bytes]:
    return [joined[at : at + _ID] for at in range(0, len(joined), _ID)]
