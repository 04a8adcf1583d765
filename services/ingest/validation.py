"""The limits of the contract: every field of a memory that breaks one, with its path and the limit.

What passes here, the database takes.
"""

import re
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1.memory_pb2 import Attachment, Memory, MemoryKind, OccurredPrecision, Place, Source
from services.runtime.errors import Violation

MAX_TEXT = 32_768
MAX_NAME = 128
MAX_PEOPLE = 64
MAX_LABELS = 32
MAX_ATTACHMENTS = 16
MAX_ATTACHMENT_SIZE = 1 << 40
MAX_OFFSET = 18 * 3600

EARLIEST = -62_135_510_400
"""0001-01-02T00:00:00Z in seconds since 1970: a day of room, so that every local date exists."""

LATEST = 253_402_214_400
"""9999-12-31T00:00:00Z, the first second that is too late."""

SEPARATOR = "\x1f"
"""Joins labels, and people, inside the database."""

_LANGUAGE = re.compile(r"[A-Za-z0-9-]{0,35}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
KINDS = frozenset(MemoryKind.values())
PRECISIONS = frozenset(OccurredPrecision.values())

Found = list[Violation]


def violations(memory: Memory, prefix: str = "memory.") -> Found:
    """Every limit that the client's fields of a memory break; empty if it is acceptable."""
    found: Found = []
    _check_text(found, f"{prefix}text", memory.text, 1, MAX_TEXT)
    _check_known(found, f"{prefix}kind", memory.kind, KINDS)
    _check_times(found, prefix, memory)
    if memory.HasField("place"):
        _check_place(found, f"{prefix}place", memory.place)
    _check_names(found, f"{prefix}people", memory.people, MAX_PEOPLE, MAX_NAME)
    _check_names(found, f"{prefix}labels", memory.labels, MAX_LABELS, 64)
    if memory.HasField("source"):
        found += source_violations(memory.source, f"{prefix}source")
    if _LANGUAGE.fullmatch(memory.language) is None:
        found.append(Violation(f"{prefix}language", "has up to 35 letters, digits and hyphens"))
    _check_attachments(found, f"{prefix}attachments", memory.attachments)
    return found


def _check_text(found: Found, field: str, text: str, shortest: int, longest: int) -> None:
    size = len(text) if text.isascii() else len(text.encode())
    if not shortest <= size <= longest:
        limit = f"has {shortest} to {longest} bytes" if shortest else f"has at most {longest} bytes"
        found.append(Violation(field, limit))
    if "\0" in text:
        found.append(Violation(field, "has no U+0000"))


def _check_known(found: Found, field: str, number: int, known: frozenset[int]) -> None:
    if number not in known:
        found.append(Violation(field, f"is a number from 0 to {max(known)}"))


def _check_times(found: Found, prefix: str, memory: Memory) -> None:
    if memory.HasField("occurred_at"):
        _check_instant(found, f"{prefix}occurred_at", memory.occurred_at)
    else:
        found.append(Violation(f"{prefix}occurred_at", "is required"))
    if memory.HasField("occurred_utc_offset"):
        _check_offset(found, f"{prefix}occurred_utc_offset", memory.occurred_utc_offset)
    _check_known(found, f"{prefix}occurred_precision", memory.occurred_precision, PRECISIONS)
    if memory.HasField("occurred_until"):
        _check_instant(found, f"{prefix}occurred_until", memory.occurred_until)
        # An update may have it alone; the memory that comes of it is checked whole.
        if memory.HasField("occurred_at") and _order(memory.occurred_until) < _order(memory.occurred_at):
            found.append(Violation(f"{prefix}occurred_until", "is not before occurred_at"))


def _check_instant(found: Found, field: str, instant: Timestamp) -> None:
    if not EARLIEST <= instant.seconds < LATEST:
        found.append(Violation(field, "lies from 0001-01-02 to 9999-12-30 in UTC"))
    if not _is_whole(instant.nanos):
        found.append(Violation(field, "is in whole microseconds"))


def is_instant(seconds: int, nanos: int) -> bool:
    """Whether an instant, since 1970, is acceptable."""
    return EARLIEST <= seconds < LATEST and _is_whole(nanos)


def _is_whole(nanos: int) -> bool:
    return 0 <= nanos < 1_000_000_000 and not nanos % 1000


def is_offset(offset: Duration) -> bool:
    """Whether a UTC offset is acceptable."""
    return -MAX_OFFSET <= offset.seconds <= MAX_OFFSET and not offset.seconds % 60 and not offset.nanos


def _check_offset(found: Found, field: str, offset: Duration) -> None:
    if not is_offset(offset):
        found.append(Violation(field, "is in whole minutes from -18 h to +18 h"))


def _order(instant: Timestamp) -> tuple[int, int]:
    return instant.seconds, instant.nanos


def _check_place(found: Found, field: str, place: Place) -> None:
    _check_text(found, f"{field}.name", place.name, 1, 256)
    if place.HasField("latitude") != place.HasField("longitude"):
        found.append(Violation(field, "has both latitude and longitude, or neither"))
    # Written so that a NaN fails.
    if not -90 <= place.latitude <= 90:
        found.append(Violation(f"{field}.latitude", "lies from -90 to 90"))
    if not -180 <= place.longitude <= 180:
        found.append(Violation(f"{field}.longitude", "lies from -180 to 180"))


def _check_names(found: Found, field: str, names: Sequence[str], most: int, longest: int) -> None:
    if len(names) > most:
        found.append(Violation(field, f"has at most {most} entries"))
    for index, name in enumerate(names[:most]):
        _check_text(found, f"{field}[{index}]", name, 1, longest)
        if SEPARATOR in name:
            found.append(Violation(f"{field}[{index}]", "has no U+001F"))


def source_violations(source: Source, field: str = "source") -> Found:
    """Every limit that a source breaks."""
    found: Found = []
    _check_text(found, f"{field}.conversation", source.conversation, 1, MAX_NAME)
    _check_text(found, f"{field}.speaker", source.speaker, 0, MAX_NAME)
    if source.position < 0:
        found.append(Violation(f"{field}.position", "lies from 0 to 2147483647"))
    return found


def _check_attachments(found: Found, field: str, attachments: Sequence[Attachment]) -> None:
    if len(attachments) > MAX_ATTACHMENTS:
        found.append(Violation(field, f"has at most {MAX_ATTACHMENTS} entries"))
    for index, attachment in enumerate(attachments[:MAX_ATTACHMENTS]):
        _check_attachment(found, f"{field}[{index}]", attachment)


def _check_attachment(found: Found, field: str, attachment: Attachment) -> None:
    _check_text(found, f"{field}.object", attachment.object, 1, 512)
    _check_text(found, f"{field}.media_type", attachment.media_type, 3, 127)
    if not 0 <= attachment.size <= MAX_ATTACHMENT_SIZE:
        found.append(Violation(f"{field}.size", "lies from 0 to 2^40"))
    if _DIGEST.fullmatch(attachment.digest) is None:
        found.append(Violation(f"{field}.digest", 'is "sha256:" and 64 hexadecimal digits in lower case'))
