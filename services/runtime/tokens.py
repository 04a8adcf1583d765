"""Opaque tokens that only we can make: consistency tokens and page tokens.

A token is urlsafe base64 of `version | length of key id | key id | MAC | payload`; the MAC (keyed BLAKE2b, 16
bytes, RFC 7693) covers the kind too, so that no token passes for one of another kind. It is not encrypted.
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from services.runtime.clock import MonotonicClock, monotonic
from services.runtime.errors import TokenInvalid
from services.runtime.watched import Watched

METADATA_KEY = "reverie-token"
"""The metadata that carries a consistency token."""

VALID_KEYS = 2
"""How many keys are valid at a time: the newest, which seals, and the one before."""

REMEMBERED = 4_096
"""Consistency tokens that are remembered, some 300 bytes each; then all are forgotten."""

MAX_TEXT = 16_384
"""Characters of the longest token that is looked at."""

_VERSION = 2
_MAC_BYTES = 16
_KEY_BYTES = (32, blake2b.MAX_KEY_SIZE)
_CONSISTENCY = "consistency"
_CONSISTENCY_HEAD = struct.Struct("<16sq")


@dataclass(frozen=True, slots=True)
class Keyring:
    """The MAC keys that are valid, by id; the last one seals."""

    keys: dict[str, bytes]
    directory: Path | None = None

    @classmethod
    def load(cls, directory: Path) -> "Keyring":
        """The newest keys of a directory of files `<keyid>.key`; the newest id sorts last.

        ValueError if there is none, or one is too short or too long.
        """
        paths = sorted(directory.glob("*.key"))[-VALID_KEYS:]
        keys = {path.stem: path.read_bytes().strip() for path in paths}
        if not keys:
            raise ValueError(f"no key in {directory}: it needs a file <keyid>.key of 32 to 64 bytes")
        for key_id, key in keys.items():
            if not _KEY_BYTES[0] <= len(key) <= _KEY_BYTES[1] or len(key_id.encode()) > 255:
                raise ValueError(
                    f"the key {key_id!r} in {directory} has not 32 to 64 bytes, or its id is too long"
                )
        return cls(keys, directory)

    @property
    def sealing(self) -> tuple[str, bytes]:
        """Id and key that new tokens are sealed with."""
        return next(reversed(self.keys.items()))


class ConsistencyToken(NamedTuple):
    """A state of an owner that a caller has seen."""

    lineage: bytes
    owner: UUID
    revision: int


class _Recent(NamedTuple):
    """Consistency tokens by the keys that they are good for: a caller sends the same one until it writes."""

    keyring: Keyring
    sealed: dict[ConsistencyToken, str]
    parsed: dict[str, ConsistencyToken]


class Tokens:
    """Seals and opens tokens, by the keys as they are on disk if they are from there."""

    def __init__(self, keyring: Keyring, clock: MonotonicClock = monotonic) -> None:
        self._keyring = keyring
        self._watched = Watched(keyring.directory, Keyring.load, clock) if keyring.directory else None
        self._known = _Recent(keyring, {}, {})

    def seal(self, kind: str, payload: bytes) -> str:
        """A token of that kind. The payload can be read by whoever holds it."""
        key_id, key = self._keys().sealing
        name = key_id.encode()
        mac = _mac(key, kind, name, payload)
        sealed = bytes((_VERSION, len(name))) + name + mac + payload
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, kind: str, text: str) -> bytes:
        """The payload of a token of that kind. TokenInvalid if it is anything else."""
        name, mac, payload = _parts(_decoded(text))
        key = self._key(name)
        if not hmac.compare_digest(mac, _mac(key, kind, name, payload)):
            raise TokenInvalid
        return payload

    def consistency(self, token: ConsistencyToken) -> str:
        """A sealed consistency token."""
        sealed = self._recent().sealed
        text = sealed.get(token)
        if text is None:
            head = _CONSISTENCY_HEAD.pack(token.owner.bytes, token.revision)
            text = sealed[token] = self.seal(_CONSISTENCY, head + token.lineage)
        return text

    def parse_consistency(self, text: str) -> ConsistencyToken:
        """The consistency token that was sealed. TokenInvalid if it is none of ours."""
        parsed = self._recent().parsed
        token = parsed.get(text)
        if token is None:
            payload = self.open(_CONSISTENCY, text)
            owner, revision = _CONSISTENCY_HEAD.unpack_from(payload)
            token = ConsistencyToken(payload[_CONSISTENCY_HEAD.size :], UUID(bytes=owner), revision)
            parsed[text] = token
        return token

    def _recent(self) -> "_Recent":
        """What these keys have sealed and opened lately."""
        keyring, known = self._keys(), self._known
        if known.keyring is not keyring or len(known.sealed) + len(known.parsed) >= REMEMBERED:
            known = self._known = _Recent(keyring, {}, {})
        return known

    def _key(self, name: bytes) -> bytes:
        key_id = name.decode("latin-1")
        # A newer key may be in use elsewhere already.
        key = self._keys().keys.get(key_id) or self._keys(now=True).keys.get(key_id)
        if key is None:
            raise TokenInvalid
        return key

    def _keys(self, *, now: bool = False) -> Keyring:
        return self._watched.value(now=now) if self._watched else self._keyring


def _mac(key: bytes, kind: str, name: bytes, payload: bytes) -> bytes:
    # Not HMAC by OpenSSL: between the calls of a busy machine that is ten times the price of this.
    covered = b"\0".join((kind.encode(), bytes((_VERSION, len(name))) + name, payload))
    return blake2b(covered, key=key, digest_size=_MAC_BYTES).digest()


def _decoded(text: str) -> bytes:
    if not text or len(text) > MAX_TEXT:
        raise TokenInvalid
    try:
        sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as damaged:
        raise TokenInvalid from damaged
    # One text for one token: spare bits at the end must be zero.
    if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != text:
        raise TokenInvalid
    return sealed


def _parts(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    start = 2 + sealed[1] if len(sealed) > 2 else 0
    if not start or sealed[0] != _VERSION or len(sealed) < start + _MAC_BYTES:
        raise TokenInvalid
    return sealed[2:start], sealed[start : start + _MAC_BYTES], sealed[start + _MAC_BYTES :]
