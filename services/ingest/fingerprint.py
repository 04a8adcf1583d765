"""What makes two creates the same: SHA-256 over a canonical encoding of the client's fields.

Not over protobuf bytes: those differ between writers, and with fields that a later version adds. The encoding
has a version; a field that is added later enters it only where it is set, so that old creates keep theirs.
"""

import struct
from collections.abc import Iterable
from hashlib import sha256

from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1.memory_pb2 import Memory

VERSION = 1

_LENGTH = struct.Struct("<I")
_HEAD = struct.Struct("<BBBqiBq")
_PLACE = struct.Struct("<BBdd")
_SOURCE = struct.Struct("<Bi")
_SIZE = struct.Struct("<q")


def fingerprint(memory: Memory) -> bytes:
    """The fingerprint of an accepted memory with its defaults filled in: 32 bytes.

    Order in `people`, `labels` and `attachments` counts: they are kept as they were given.
    """
    parts = [
        _HEAD.pack(
            VERSION,
            memory.kind,
            memory.occurred_precision,
            _microseconds(memory.occurred_at),
            memory.occurred_utc_offset.seconds,
            memory.HasField("occurred_until"),
            _microseconds(memory.occurred_until),
        ),
        _place(memory),
        _SOURCE.pack(memory.HasField("source"), memory.source.position),
    ]
    _add(parts, (memory.text, memory.language, memory.place.name))
    _add(parts, (memory.source.conversation, memory.source.speaker))
    _add_list(parts, memory.people)
    _add_list(parts, memory.labels)
    _add_attachments(parts, memory)
    return sha256(b"".join(parts)).digest()


def _microseconds(instant: Timestamp) -> int:
    return instant.seconds * 1_000_000 + instant.nanos // 1000


def _place(memory: Memory) -> bytes:
    place = memory.place
    # + 0.0 makes one zero of the two.
    return _PLACE.pack(
        memory.HasField("place"), place.HasField("latitude"), place.latitude + 0.0, place.longitude + 0.0
    )


def _add(parts: list[bytes], texts: Iterable[str]) -> None:
    """Each with its length before it: no two lists of texts look alike."""
    for text in texts:
        encoded = text.encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)


def _add_list(parts: list[bytes], texts: "Iterable[str]") -> None:
    listed = tuple(texts)
    parts.append(_LENGTH.pack(len(listed)))
    _add(parts, listed)


def _add_attachments(parts: list[bytes], memory: Memory) -> None:
    parts.append(_LENGTH.pack(len(memory.attachments)))
    for attachment in memory.attachments:
        parts.append(_SIZE.pack(attachment.size))
        _add(parts, (attachment.object, attachment.media_type, attachment.digest))
