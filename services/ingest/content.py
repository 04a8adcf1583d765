"""From a client's memory to what is stored: defaults filled in, and its words reduced to terms."""

from datetime import date

from reverie.memory.v1.memory_pb2 import Memory, MemoryKind, OccurredPrecision
from reverie.storage.v1.write_pb2 import Content
from services.runtime.terms import ANALYZER, Precision, memory_terms, traits

OUTPUT_ONLY = ("name", "revision", "etag", "create_time", "update_time", "analysis")
"""What a client cannot set."""

_EPOCH = date(1970, 1, 1).toordinal()
_DAY = 86_400


def fill(content: Content, memory: Memory) -> None:
    """Makes `content` that of an accepted memory: the client's fields, their defaults, terms and traits."""
    kept = content.memory
    kept.CopyFrom(memory)
    complete(kept)
    content.terms = memory_terms(
        kept.text,
        local_date(kept),
        Precision(kept.occurred_precision),
        place=kept.place.name,
        people=kept.people,
        labels=kept.labels,
    )
    content.traits = int(traits(kept.text))
    content.analyzer = ANALYZER


def complete(memory: Memory) -> None:
    """Leaves a memory with the client's fields alone, and says what it left unsaid."""
    for field in OUTPUT_ONLY:
        memory.ClearField(field)
    # Fields that this version does not know would be stored by nobody and still take room in a batch.
    memory.DiscardUnknownFields()
    if memory.kind == MemoryKind.MEMORY_KIND_UNSPECIFIED:
        memory.kind = MemoryKind.MEMORY_KIND_NOTE
    if memory.occurred_precision == OccurredPrecision.OCCURRED_PRECISION_UNSPECIFIED:
        memory.occurred_precision = OccurredPrecision.OCCURRED_PRECISION_INSTANT


def local_date(memory: Memory) -> date:
    """The day on which an accepted memory happened, where the person was."""
    local_seconds = memory.occurred_at.seconds + memory.occurred_utc_offset.seconds
    return date.fromordinal(_EPOCH + local_seconds // _DAY)
