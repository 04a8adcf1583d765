"""Ids of memories: which are accepted, and which are made for a client that names none."""

import hashlib
import re
from binascii import unhexlify
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

AHEAD = timedelta(minutes=10)
"""How far the time in an id may lie ahead: a client's clock may be wrong, but not by a partition."""

LIMIT = "is a UUID of version 7 or 8 in lower case, its time between 1970 and ten minutes from now"
"""What an id must be, in words."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_VERSIONS = (7, 8)
_VARIANT_BITS = 0b10
_VERSION_8 = 0x8 << 76
_VARIANT = _VARIANT_BITS << 62
_RANDOM_A = 0xFFF << 64
_RANDOM_B = (1 << 62) - 1
_MAX_MILLISECONDS = (1 << 48) - 1


def parse_id(text: str, now: datetime) -> bytes | None:
    """The 16 bytes of an id that a client chose; None if it is not what `LIMIT` says."""
    if _UUID.fullmatch(text) is None:
        return None
    found = to_bytes(text)
    return found if found[:6] <= _latest(now) else None


def is_id(id_: bytes, now: datetime) -> bool:
    """Whether 16 bytes are an id that is accepted."""
    return id_[6] >> 4 in _VERSIONS and id_[8] >> 6 == _VARIANT_BITS and id_[:6] <= _latest(now)


def to_bytes(text: str) -> bytes:
    """The 16 bytes of an id that `parse_id` accepts."""
    return unhexlify(text.replace("-", ""))


def to_text(id_: bytes) -> str:
    """The text of an id's 16 bytes."""
    digits = id_.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@lru_cache(maxsize=8)
def _latest(now: datetime) -> bytes:
    """The latest time of an id, as it begins with it. Items of a batch have one `now`."""
    return int((now + AHEAD).timestamp() * 1000).to_bytes(6)


def derived_id(request_id: str, received_at_ms: int, index: int) -> UUID:
    """The id of item `index` of a call that names none: the same for every repeat of that call by the mesh.

    Version 8: the time of receipt in the first 48 bits, as in version 7, then 74 bits of SHA-256.
    """
    digest = hashlib.sha256(f"{request_id}\n{received_at_ms}\n{index}".encode()).digest()
    noise = int.from_bytes(digest[:16])
    time = min(received_at_ms, _MAX_MILLISECONDS) << 80
    return UUID(int=time | _VERSION_8 | noise & _RANDOM_A | _VARIANT | noise & _RANDOM_B)
