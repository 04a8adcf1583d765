"""What makes two creates the same: SHA-256 over a canonical encoding of the client's fields.

Not over protobuf bytes: those differ between writers, and with fields that a later version adds. The encoding
has a version; a field that is added later enters it only where it is set, so that old creates keep theirs.
"""

import struct
from collections.abc import Sequence
from hashlib import sha256

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1.memory_pb2 import Attachment, Memory, Place

VERSION = 1

_LENGTH = struct.Struct("<I")
_HEAD = struct.Struct("<BBBqiBq")
_PLACE = struct.Struct("<BBdd")
_SOURCE = struct.Struct("<Bi")
_SIZE = struct.Struct("<q")

_USUAL = struct.Struct(f"<BBBqi{1 + 8 + _PLACE.size}xBiI")
"""What the encoding of a memory with none but the usual fields begins with, up to the length of its text.

It has zeros where the end and the place would be.
"""

_NO_PLACE = _PLACE.pack(False, False, 0.0, 0.0)  # noqa: FBT003  (numbers, all of them)
_NO_SOURCE = _SOURCE.pack(False, 0)  # noqa: FBT003
_NOTHING = _LENGTH.pack(0)

NO_NAMES = _NOTHING * 2
"""The names of no source."""

_NO_LANGUAGE_OR_PLACE = _NOTHING * 2
_NO_LISTS = _NOTHING * 3


def fingerprint(memory: Memory) -> bytes:
    """The fingerprint of an accepted memory with its defaults filled in: 32 bytes.

    Order in `people`, `labels` and `attachments` counts: they are kept as they were given.
    """
    # What most memories do not have is not asked for: each question takes as long as packing an answer.
    source = memory.source if memory.HasField("source") else None
    place = memory.place if memory.HasField("place") else None
    return sha256(
        b"".join((
            _head(memory),
            _place(place) if place else _NO_PLACE,
            _SOURCE.pack(True, source.position) if source else _NO_SOURCE,  # noqa: FBT003
            _text(memory.text),
            _text(memory.language),
            _text(place.name) if place else _NOTHING,
            _text(source.conversation) if source else _NOTHING,
            _text(source.speaker) if source else _NOTHING,
            _texts(memory.people),
            _texts(memory.labels),
            _attachments(memory.attachments),
        ))
    ).digest()  # fmt: skip


def usual(
    kind: int, precision: int, occurred_at: int, offset: int, text: bytes, position: int | None, names: bytes
) -> bytes:
    """The fingerprint of a memory with nothing but these, its defaults filled in.

    Microseconds since 1970, seconds; `position` is None without a source.
    """
    has_source = position is not None
    head = _USUAL.pack(VERSION, kind, precision, occurred_at, offset, has_source, position or 0, len(text))
    return sha256(b"".join((head, text, _NO_LANGUAGE_OR_PLACE, names, _NO_LISTS))).digest()


def names(conversation: str, speaker: str) -> bytes:
    """The names of a source, as `usual` takes them."""
    return _text(conversation) + _text(speaker)


def _head(memory: Memory) -> bytes:
    has_until = memory.HasField("occurred_until")
    return _HEAD.pack(
        VERSION,
        memory.kind,
        memory.occurred_precision,
        _microseconds(memory.occurred_at),
        memory.occurred_utc_offset.seconds,
        has_until,
        _microseconds(memory.occurred_until) if has_until else 0,
    )


def _microseconds(instant: Timestamp) -> int:
    return instant.seconds * 1_000_000 + instant.nanos // 1000


def _place(place: Place) -> bytes:
    # + 0.0 makes one zero of the two.
    return _PLACE.pack(True, place.HasField("latitude"), place.latitude + 0.0, place.longitude + 0.0)  # noqa: FBT003


def _text(text: str) -> bytes:
    """With its length before it: no two lists of texts look alike."""
    if not text:
        return _NOTHING
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _texts(texts: Sequence[str]) -> bytes:
    return _LENGTH.pack(len(texts)) + b"".join(map(_text, texts)) if texts else _NOTHING


def _attachments(attachments: Sequence[Attachment]) -> bytes:
    parts = [_LENGTH.pack(len(attachments))]
    for attachment in attachments:
        parts.append(_SIZE.pack(attachment.size))
        parts += map(_text, (attachment.object, attachment.media_type, attachment.digest))
    return b"".join(parts)
