"""Dead letters: their names, and pages of them. Pure."""

import re
import struct
from typing import NamedTuple
from uuid import UUID

from services.runtime.errors import InvalidArgument, TokenInvalid
from services.runtime.names import USER_PATTERN, owner_of
from services.runtime.tokens import Tokens
from services.storage.analyses import STAGE_NAMES, STAGES

KIND = "dead-letters"
"""The kind of our page tokens."""

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OWNER = rf"tenants/({_UUID})/users/({USER_PATTERN})"
_OWNER_NAME = re.compile(_OWNER)
_LETTER_NAME = re.compile(rf"{_OWNER}/memories/({_UUID})/analyses/([a-z]+)\.(\d{{1,5}})")
_LAYOUT = struct.Struct("<16sq16s16shh")
_NOBODY = UUID(int=0)


class Key(NamedTuple):
    """What a dead letter is found by."""

    owner: UUID
    id: UUID
    stage: int
    model: int


class Place(NamedTuple):
    """A place in the list: after the letter that died then."""

    dead_at: int
    key: Key


def parse_owner(name: str, field: str = "owner") -> UUID | None:
    """The owner of `tenants/{tenant}/users/{user}`; None for the empty name, else InvalidArgument."""
    if not name:
        return None
    match = _OWNER_NAME.fullmatch(name)
    if match is None:
        raise InvalidArgument.of(field, "is tenants/{tenant}/users/{user}, the tenant a UUID in lower case")
    return owner_of(UUID(match[1]), match[2])


def name(tenant: UUID, user: str, key: Key) -> str:
    """The name of a dead letter."""
    stage = STAGE_NAMES.get(key.stage, str(key.stage))
    return f"tenants/{tenant}/users/{user}/memories/{key.id}/analyses/{stage}.{key.model}"


def parse(name: str, field: str) -> Key:
    """The key of a dead letter's name. InvalidArgument, naming `field`, if it is none."""
    match = _LETTER_NAME.fullmatch(name)
    if match is None or match[4] not in STAGES or int(match[5]) > 32_767:
        said = "tenants/{tenant}/users/{user}/memories/{memory}/analyses/{stage}.{model}"
        raise InvalidArgument.of(field, f"is {said}, as ListDeadLetters gave it")
    owner = owner_of(UUID(match[1]), match[2])
    return Key(owner, UUID(match[3]), STAGES[match[4]], int(match[5]))


def sealed(tokens: Tokens, owner: UUID | None, after: Place) -> str:
    """The page token for what comes after a place in the list of one owner, or of all."""
    key = after.key
    head = (owner or _NOBODY).bytes
    return tokens.seal(
        KIND, _LAYOUT.pack(head, after.dead_at, key.owner.bytes, key.id.bytes, key.stage, key.model)
    )


def opened(tokens: Tokens, owner: UUID | None, token: str) -> Place:
    """Where a page token says that its page begins. TokenInvalid if it is of another list."""
    payload = tokens.open(KIND, token)
    if len(payload) != _LAYOUT.size:
        raise TokenInvalid
    head, dead_at, of_owner, id_, stage, model = _LAYOUT.unpack(payload)
    if head != (owner or _NOBODY).bytes:
        raise TokenInvalid
    return Place(dead_at, Key(UUID(bytes=of_owner), UUID(bytes=id_), stage, model))
