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
_VERSION_8 = 0x8 << 76
_VARIANT = 0b10 << 62
_RANDOM_A = 0xFFF << 64
_RANDOM_B = (1 << 62) - 1
_MAX_MILLISECONDS = (1 << 48) - 1


def parse_id(text: str, now: datetime) -> bytes | None:
    """The 16 bytes of an id that a client chose; None if it is not what `LIMIT` says."""
    if _UUID.fullmatch(text) is None:
        return None
    found = to_bytes(text)
    return found if found[:6] <= _latest(now) else None


def to_bytes(text: str) -> bytes:
    """The 16 bytes of an id that `parse_id` accepts."""
    return unhexlify(text.replace("-", ""))


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
