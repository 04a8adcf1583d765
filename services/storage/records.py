"""Between rows of the database and messages of the contract.

A row is put into its message field by field: fifty cost 0.1 ms, a fifth less than by its constructor.
"""

import json
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asyncpg.pgproto import pgproto
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1 import memory_pb2
from services.runtime.names import etag
from services.storage.analyses import EMBED, MODEL_NAMES, STAGE_NAMES
from services.storage.database import FAR_FUTURE, FAR_PAST
from services.storage.queries import MEMORY

if TYPE_CHECKING:
    from services.storage.database import Record

Fields = dict[str, Any]
"""What a message is made of."""

MEMORY_COLUMNS = len(MEMORY)

id_of: Callable[[bytes], UUID] = pgproto.UUID
"""The UUID of 16 bytes, as the driver makes them: a sixth of the standard library's price."""

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAY = 86_400_000_000
_MINUTE = 60_000_000
_COARSER_THAN_A_DAY = (memory_pb2.OCCURRED_PRECISION_YEAR, memory_pb2.OCCURRED_PRECISION_MONTH)


def memory(user: str, row: "Record", start: int = 0) -> memory_pb2.Memory:
    """The memory in a row whose columns `{memory}` begin at `start`."""
    message = memory_pb2.Memory()
    put(message, user, row, start)
    return message


def put(message: memory_pb2.Memory, user: str, row: "Record", start: int = 0) -> None:
    """Fill an empty message with the memory in a row: the price of a page, so field by field, in one go."""
    (
        id_, revision, create_time, update_time, occurred_at, occurred_offset, precision, kind, text,
        conversation, speaker, position, occurred_until, language, place, latitude, longitude,
        labels, people, attachments,
    ) = row[start : start + MEMORY_COLUMNS]  # fmt: skip
    message.name = f"users/{user}/memories/{id_}"
    message.text = text
    message.kind = kind
    message.occurred_precision = precision
    message.revision = revision
    message.etag = etag(revision)
    time = message.occurred_at
    time.seconds = occurred_at // 1_000_000
    if rest_of_second := occurred_at % 1_000_000:
        time.nanos = rest_of_second * 1_000
    time = message.create_time
    time.seconds = create_time // 1_000_000
    if rest_of_second := create_time % 1_000_000:
        time.nanos = rest_of_second * 1_000
    if conversation is not None:
        source = message.source
        source.conversation, source.speaker, source.position = conversation, speaker or "", position or 0
    if occurred_offset is not None:
        message.occurred_utc_offset.seconds = occurred_offset * 60
    if update_time is not None:
        put_instant(message.update_time, update_time)
    if occurred_until is not None:
        put_instant(message.occurred_until, occurred_until)
    if language:
        message.language = language
    if place is not None:
        _put_place(message.place, place, latitude, longitude)
    if labels or people or attachments:
        _put_lists(message, labels or (), people or (), attachments)


def embedding_fields(model: int, revision: int, dimensions: int) -> Fields:
    """What analysis found, where it is a vector."""
    return {
        "stage": STAGE_NAMES[EMBED],
        "model": MODEL_NAMES.get(model, str(model)),
        "revision": revision,
        "embedding": {"dimensions": dimensions},
    }


def instant(microseconds: int) -> Fields:
    """The fields of a Timestamp."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return {"seconds": seconds, "nanos": rest * 1_000}


def put_instant(time: Timestamp, microseconds: int) -> None:
    """Set an empty Timestamp; it is then there, in 1970 too."""
    time.seconds, rest = divmod(microseconds, 1_000_000)
    if rest:
        time.nanos = rest * 1_000


def microseconds(time: Timestamp) -> int:
    """The first whole microsecond that is not before an instant, kept between FAR_PAST and FAR_FUTURE."""
    exact = time.seconds * 1_000_000 - (-time.nanos // 1_000)
    return min(max(exact, FAR_PAST), FAR_FUTURE)


def whole_minutes(offset: Duration) -> int:
    """A UTC offset in minutes."""
    return offset.seconds // 60


def local_day(occurred_at: int, offset_minutes: int, precision: int) -> int | None:
    """Month * 100 + day by the person's clock; None where the day is not known."""
    if precision in _COARSER_THAN_A_DAY:
        return None
    return _month_and_day((occurred_at + offset_minutes * _MINUTE) // _DAY)


@lru_cache(maxsize=4_096)
def _month_and_day(day: int) -> int:
    found = date.fromordinal(_EPOCH_ORDINAL + day)
    return found.month * 100 + found.day


def array_literal(texts: Sequence[str]) -> str | None:
    """Texts as PostgreSQL writes an array of them; None if there are none.

    Every element is quoted, so that no character of it separates anything.
    """
    if not texts:
        return None
    quoted = ('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts)
    return "{" + ",".join(quoted) + "}"


_ATTACHMENT = ("object", "media_type", "size", "digest")


def attachments_json(attachments: Sequence[memory_pb2.Attachment]) -> str | None:
    """Attachments as an array of arrays; None if there are none."""
    if not attachments:
        return None
    kept = [[one.object, one.media_type, one.size, one.digest] for one in attachments]
    return json.dumps(kept, ensure_ascii=False)


def _put_place(place: memory_pb2.Place, name: str, latitude: float | None, longitude: float | None) -> None:
    place.name = name
    if latitude is not None:
        place.latitude = latitude
    if longitude is not None:
        place.longitude = longitude


def _put_lists(
    message: memory_pb2.Memory, labels: Sequence[str], people: Sequence[str], attachments: str | None
) -> None:
    message.labels.extend(labels)
    message.people.extend(people)
    for one in json.loads(attachments) if attachments else ():
        message.attachments.add(**dict(zip(_ATTACHMENT, one, strict=True)))
