"""Creates by the hundred, as rows of the columns in which they go to storage.

`row` gives what `writes.create` gives. Of a memory that has none but the usual fields each is read once and
nothing is copied, which takes a third of the time; what is unusual, or wrong, goes the long way.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reverie.ingest.v1.ingest_pb2 import CreateMemoryRequest
from reverie.memory.v1.memory_pb2 import Memory, Source
from reverie.storage.v1.write_pb2 import CreateColumns, WriteOperation
from services.ingest import fingerprint, ids, validation, writes
from services.ingest.content import DAY, INSTANT, NOTE, complete, date_of
from services.ingest.lane import FRAME, Operation, Owner
from services.ingest.writes import Origin
from services.runtime.errors import InvalidArgument
from services.runtime.terms import ANALYZER, terms_and_traits

NO_OFFSET = -32_768
"""What stands for an offset that is not said."""

_FIXED = 16 + 32 + 8 + 4 * FRAME
"""Bytes that a row takes in a batch beside its texts and terms; rather too many than too few."""

_USUAL = ("text", "kind", "occurred_at", "occurred_precision", "occurred_utc_offset", "source")
_TEXT, _KIND, _OCCURRED_AT, _PRECISION, _OFFSET, _SOURCE = (
    Memory.DESCRIPTOR.fields_by_name[name] for name in _USUAL
)


class Row(NamedTuple):
    """A create of one memory, ready to be sent."""

    key: bytes
    """Owner and id."""
    size: int
    rare: Memory | None
    """The memory, if it may have fields that few memories have."""
    id: bytes
    occurred_at: int
    """Microseconds since 1970."""
    occurred_offset: int
    """Minutes, or NO_OFFSET."""
    occurred_precision: int
    kind: int
    traits: int
    fingerprint: bytes
    terms: bytes
    text: str
    conversation: str
    speaker: str
    position: int

    @property
    def memory_id(self) -> str:
        """The id as text."""
        return ids.to_text(self.id)


def row(owner: Owner, request: CreateMemoryRequest, origin: Origin | None, index: int, now: datetime) -> Row:
    """The create that item `index` of a call asks for. InvalidArgument, with every broken field."""
    id_ = ids.parse_id(request.memory_id, now)
    found = _usual(owner, id_, request.memory) if id_ is not None else None
    return found or _of(writes.create(owner, request, origin, index, now))


def tried(
    owner: Owner, request: CreateMemoryRequest, origin: Origin | None, index: int, now: datetime
) -> Row | InvalidArgument:
    """The same, or what is wrong with the item."""
    try:
        return row(owner, request, origin, index, now)
    except InvalidArgument as wrong:
        return wrong


def put(columns: CreateColumns, rows: Sequence[Row]) -> None:
    """Fills empty columns, all but the owners."""
    (
        _, _, rare, ids_, occurred_at, offsets, precisions, kinds, traits_, fingerprints, terms, texts,
        conversations, speakers, positions,
    ) = zip(*rows, strict=True)  # fmt: skip
    columns.ids = b"".join(ids_)
    columns.occurred_at.extend(occurred_at)
    if any(offset != NO_OFFSET for offset in offsets):
        columns.occurred_offsets.extend(offsets)
    columns.occurred_precisions.extend(precisions)
    columns.kinds.extend(kinds)
    columns.traits.extend(traits_)
    columns.analyzer = ANALYZER
    columns.fingerprints = b"".join(fingerprints)
    columns.terms.extend(terms)
    columns.texts.extend(texts)
    if any(conversations):
        columns.conversations.extend(conversations)
        columns.speakers.extend(speakers)
        columns.positions.extend(positions)
    for place, memory in enumerate(rare):
        if memory is not None:
            _put_rare(columns.rare.add(place=place).memory, memory)


def put_operation(operation: WriteOperation, row: Row) -> None:
    """Fills an empty operation, all but the owner, for storage that does not know columns."""
    operation.id = row.id
    operation.create.fingerprint = row.fingerprint
    content = operation.create.content
    if row.rare is not None:
        content.memory.CopyFrom(row.rare)
        complete(content.memory)
    else:
        put_common(
            content.memory, row.text, row.kind, row.occurred_precision, row.occurred_at, row.occurred_offset,
            row.conversation, row.speaker, row.position,
        )  # fmt: skip
    content.terms, content.traits, content.analyzer = row.terms, row.traits, ANALYZER


def common(
    owner: Owner,
    id_: bytes,
    text: str,
    kind: int,
    precision: int,
    occurred_at: int,
    offset: int,
    conversation: str,
    speaker: str,
    position: int | None,
) -> Row | None:
    """The row of a memory with none but the usual fields, which are acceptable but for text, kind, precision
    and names; None if one of those is not.

    `offset` in minutes, or NO_OFFSET. Without a source there is no `position`.
    """
    encoded = text.encode()
    names = fingerprint.NO_NAMES if position is None else _names(conversation, speaker)
    if (
        not 0 < len(encoded) <= validation.MAX_TEXT
        or "\0" in text
        or kind not in validation.KINDS
        or precision not in validation.PRECISIONS
        or names is None
    ):
        return None
    seconds = 0 if offset == NO_OFFSET else offset * 60
    terms, traits = terms_and_traits(text, date_of((occurred_at // 1_000_000 + seconds) // DAY), precision)
    mark = fingerprint.usual(kind, precision, occurred_at, seconds, encoded, position, names)
    return Row(
        owner.owner + id_, _FIXED + len(encoded) + len(terms) + len(names), None, id_, occurred_at, offset,
        precision, kind, traits, mark, terms, text, conversation, speaker, position or 0,
    )  # fmt: skip


def put_common(
    memory: Memory,
    text: str,
    kind: int,
    precision: int,
    occurred_at: int,
    offset: int,
    conversation: str,
    speaker: str,
    position: int,
) -> None:
    """Fills an empty memory with what `common` takes; without a conversation there is no source."""
    memory.text = text
    memory.kind, memory.occurred_precision = kind, precision  # type: ignore[assignment]
    # Not by FromMicroseconds, which has no word for an instant that is out of range.
    seconds, microseconds = divmod(occurred_at, 1_000_000)
    memory.occurred_at.seconds, memory.occurred_at.nanos = seconds, microseconds * 1_000
    if offset != NO_OFFSET:
        memory.occurred_utc_offset.seconds = offset * 60
    if conversation:
        source = memory.source
        source.conversation, source.speaker, source.position = conversation, speaker, position


def _usual(owner: Owner, id_: bytes, memory: Memory) -> Row | None:
    """The row of an acceptable memory with none but the usual fields; None of any other one."""
    fields: dict[Any, Any] = dict(memory.ListFields())
    take = fields.pop
    text, kind, precision = take(_TEXT, ""), take(_KIND, NOTE), take(_PRECISION, INSTANT)
    occurred_at, offset = _microseconds(take(_OCCURRED_AT, None)), _minutes(take(_OFFSET, None))
    source = take(_SOURCE, None)
    if fields or occurred_at is None or offset is None:
        return None
    if source is None:
        return common(owner, id_, text, kind, precision, occurred_at, offset, "", "", None)
    conversation, speaker, position = source.conversation, source.speaker, source.position
    if position < 0:
        return None
    return common(owner, id_, text, kind, precision, occurred_at, offset, conversation, speaker, position)


def _microseconds(instant: Timestamp | None) -> int | None:
    """An instant that is acceptable; else None."""
    if instant is None:
        return None
    seconds, nanos = instant.seconds, instant.nanos
    return seconds * 1_000_000 + nanos // 1000 if validation.is_instant(seconds, nanos) else None


def _minutes(offset: Duration | None) -> int | None:
    """An offset that is acceptable, or none at all; else None."""
    if offset is None:
        return NO_OFFSET
    return offset.seconds // 60 if validation.is_offset(offset) else None


@lru_cache(maxsize=1_024)
def _names(conversation: str, speaker: str) -> bytes | None:
    # Memories that come together are mostly of one conversation.
    broken = validation.source_violations(Source(conversation=conversation, speaker=speaker))
    return None if broken else fingerprint.names(conversation, speaker)


def _of(operation: Operation) -> Row:
    content = operation.change.create.content
    memory, source = content.memory, content.memory.source
    occurred_at = memory.occurred_at.seconds * 1_000_000 + memory.occurred_at.nanos // 1000
    offset = memory.occurred_utc_offset.seconds // 60
    return Row(
        operation.key, operation.size, memory, operation.change.id, occurred_at,
        offset if memory.HasField("occurred_utc_offset") else NO_OFFSET, memory.occurred_precision,
        memory.kind, content.traits, operation.change.create.fingerprint, content.terms, memory.text,
        source.conversation, source.speaker, source.position,
    )  # fmt: skip


def _put_rare(into: Memory, memory: Memory) -> None:
    into.CopyFrom(memory)
    for field in _USUAL:
        into.ClearField(field)
