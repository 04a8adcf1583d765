"""What an application hands over: a memory to create, and its parts. The limits stand in `memory.proto`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from reverie.ingest.v1.ingest_pb2 import CreateMemoryRequest
from reverie.memory.v1 import memory_pb2
from reverie_client.times import Precision, When, fill_timestamp, instant_of, offset_of, to_timestamp


class Kind(StrEnum):
    """What sort of thing a memory is."""

    NOTE = "note"
    MESSAGE = "message"
    PHOTO = "photo"
    EVENT = "event"


KIND_NUMBERS: dict[Kind, memory_pb2.MemoryKind] = {
    Kind.NOTE: memory_pb2.MEMORY_KIND_NOTE,
    Kind.MESSAGE: memory_pb2.MEMORY_KIND_MESSAGE,
    Kind.PHOTO: memory_pb2.MEMORY_KIND_PHOTO,
    Kind.EVENT: memory_pb2.MEMORY_KIND_EVENT,
}

PRECISION_NUMBERS: dict[Precision, memory_pb2.OccurredPrecision] = {
    Precision.YEAR: memory_pb2.OCCURRED_PRECISION_YEAR,
    Precision.MONTH: memory_pb2.OCCURRED_PRECISION_MONTH,
    Precision.DAY: memory_pb2.OCCURRED_PRECISION_DAY,
    Precision.INSTANT: memory_pb2.OCCURRED_PRECISION_INSTANT,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something happened. Latitude and longitude, in degrees, come together or not at all."""

    name: str
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a turn of a conversation comes from."""

    conversation: str
    speaker: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class Attachment:
    """An object that belongs to a memory and is kept elsewhere."""

    object: str
    media_type: str
    size: int
    """In bytes."""
    digest: str
    """As "sha256:" and 64 hexadecimal digits."""


class Changes(TypedDict, total=False):
    """What an update may change besides the text. None, or an empty one, takes away what was there."""

    occurred_at: When
    occurred_until: datetime | None
    place: Place | None
    people: Sequence[str]
    labels: Sequence[str]
    language: str
    attachments: Sequence[Attachment]


class Fields(Changes, total=False):
    """What a memory may have besides its text."""

    kind: Kind
    source: Source | None


_SECOND = timedelta(seconds=1)
_PATHS = {"occurred_at": ("occurred_at", "occurred_utc_offset", "occurred_precision")}


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory to create."""

    text: str
    occurred_at: When | None = None
    """When it happened; None: now, by this machine's clock and zone."""
    occurred_until: datetime | None = None
    kind: Kind = Kind.NOTE
    place: Place | None = None
    people: Sequence[str] = ()
    labels: Sequence[str] = ()
    source: Source | None = None
    language: str = ""
    attachments: Sequence[Attachment] = ()
    id: UUID | None = None
    """Its id; None: a new one. Choose it where the same memory may be handed over twice (`derived_id`)."""


def to_message(new: NewMemory) -> memory_pb2.Memory:
    """The message; without a time if `occurred_at` is None. ValueError for a time without UTC offset."""
    message = memory_pb2.Memory()
    fill_message(message, new)
    return message


def fill_message(message: memory_pb2.Memory, new: NewMemory) -> None:
    """Makes an empty message that of a memory: where there is one to fill already, it need not be copied."""
    message.text, message.kind = new.text, KIND_NUMBERS[new.kind]
    if new.language:
        message.language = new.language
    if new.occurred_at is not None:
        _put_occurred(message, new.occurred_at)
    if new.source is not None:
        _put_source(message.source, new.source)
    if new.occurred_until is not None:
        message.occurred_until.CopyFrom(to_timestamp(new.occurred_until))
    if (place := new.place) is not None:
        message.place.CopyFrom(
            memory_pb2.Place(name=place.name, latitude=place.latitude, longitude=place.longitude)
        )
    if new.people:
        message.people.extend(new.people)
    if new.labels:
        message.labels.extend(new.labels)
    if new.attachments:
        message.attachments.extend(map(_attachment, new.attachments))


def fill_request(request: CreateMemoryRequest, new: NewMemory) -> None:
    """Makes an empty request that for a memory, which has its id."""
    request.memory_id = str(new.id)
    fill_message(request.memory, new)


def to_update(text: str | None, changes: Changes) -> tuple[memory_pb2.Memory, list[str]]:
    """The message that holds the changes, and the paths of the fields that they are. None leaves the text."""
    paths = [] if text is None else ["text"]
    for name in changes:
        paths.extend(_PATHS.get(name, (name,)))
    return to_message(NewMemory(text or "", **changes)), paths


def _put_occurred(message: memory_pb2.Memory, when: When) -> None:
    at, precision = instant_of(when)
    fill_timestamp(message.occurred_at, at)
    message.occurred_precision = PRECISION_NUMBERS[precision]
    if offset := offset_of(at):
        message.occurred_utc_offset.seconds = offset // _SECOND


def _put_source(message: memory_pb2.Source, source: Source) -> None:
    message.conversation = source.conversation
    message.speaker = source.speaker
    message.position = source.position


def _attachment(attachment: Attachment) -> memory_pb2.Attachment:
    return memory_pb2.Attachment(
        object=attachment.object,
        media_type=attachment.media_type,
        size=attachment.size,
        digest=attachment.digest,
    )
