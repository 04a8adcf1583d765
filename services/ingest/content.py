"""From a client's memory to what is stored: defaults filled in, and its words reduced to terms."""

from datetime import date
from functools import lru_cache

from reverie.memory.v1.memory_pb2 import Memory, MemoryKind, OccurredPrecision
from reverie.storage.v1.write_pb2 import Content
from services.runtime.terms import ANALYZER, terms_and_traits

OUTPUT_ONLY = ("name", "revision", "etag", "create_time", "update_time", "analysis")
"""What a client cannot set."""

NOTE = MemoryKind.MEMORY_KIND_NOTE
INSTANT = OccurredPrecision.OCCURRED_PRECISION_INSTANT
_EPOCH = date(1970, 1, 1).toordinal()
DAY = 86_400


def fill(content: Content, memory: Memory) -> None:
    """Makes `content` that of an accepted memory: the client's fields, their defaults, terms and traits."""
    kept = content.memory
    kept.CopyFrom(memory)
    complete(kept)
    content.terms, content.traits = terms_and_traits(
        kept.text,
        local_date(kept),
        kept.occurred_precision,
        place=kept.place.name if kept.HasField("place") else "",
        people=kept.people,
        labels=kept.labels,
    )
    content.analyzer = ANALYZER


def complete(memory: Memory) -> None:
    """Leaves a memory with the client's fields alone, and says what it left unsaid."""
    if _sets_output(memory):
        for field in OUTPUT_ONLY:
            memory.ClearField(field)
    # Fields that this version does not know would be stored by nobody and still take room in a batch.
    memory.DiscardUnknownFields()
    if not memory.kind:
        memory.kind = NOTE
    if not memory.occurred_precision:
        memory.occurred_precision = INSTANT


def _sets_output(memory: Memory) -> bool:
    """Whether anything is set that a client cannot set: looking costs less than clearing."""
    return bool(
        memory.name
        or memory.revision
        or memory.etag
        or memory.analysis
        or memory.HasField("create_time")
        or memory.HasField("update_time")
    )


def local_date(memory: Memory) -> date:
    """The day on which an accepted memory happened, where the person was."""
    local_seconds = memory.occurred_at.seconds + memory.occurred_utc_offset.seconds
    return date_of(local_seconds // DAY)


@lru_cache(maxsize=4_096)
def date_of(day: int) -> date:
    """The date of a day, counted from 1970-01-01."""
    return date.fromordinal(_EPOCH + day)
