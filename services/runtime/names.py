"""Names of resources: `users/{user}` and `users/{user}/memories/{memory}`."""

import re
from functools import lru_cache
from uuid import UUID, uuid5

from services.runtime.errors import InvalidArgument

USER_PATTERN = r"[A-Za-z0-9._@+-]{1,128}"
"""What a user is called: 1 to 128 characters; letter case matters."""

_USER = re.compile(USER_PATTERN)
_ETAG = re.compile(r"[1-9][0-9]{0,17}")
_USER_NAME = re.compile(rf"users/({USER_PATTERN})")
_MEMORY_NAME = re.compile(
    rf"users/({USER_PATTERN})/memories/([0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}})"
)


def is_user(text: str) -> bool:
    """Whether a user may be called so."""
    return _USER.fullmatch(text) is not None


def parse_user(name: str, field: str = "parent") -> str:
    """The user of `users/{user}`. InvalidArgument, naming `field`, if it is not such a name."""
    match = _USER_NAME.fullmatch(name)
    if match is None:
        raise InvalidArgument.of(field, "is users/{user}, with 1 to 128 characters of [A-Za-z0-9._@+-]")
    return match[1]


def parse_memory(name: str, field: str = "name") -> tuple[str, UUID]:
    """The user and the id of `users/{user}/memories/{memory}`. InvalidArgument, naming `field`, if not."""
    match = _MEMORY_NAME.fullmatch(name)
    if match is None:
        raise InvalidArgument.of(field, "is users/{user}/memories/{memory}, with a UUID in lower case")
    return match[1], UUID(match[2])


def user_name(user: str) -> str:
    """`users/{user}`."""
    return f"users/{user}"


def memory_name(user: str, memory: UUID) -> str:
    """`users/{user}/memories/{memory}`."""
    return f"users/{user}/memories/{memory}"


@lru_cache(maxsize=16_384)
def owner_of(tenant: UUID, user: str) -> UUID:
    """The owner of a user's memories: the version 5 UUID of the user in the tenant's namespace."""
    return uuid5(tenant, user)


def etag(revision: int) -> str:
    """The etag of a memory at that revision."""
    return str(revision)


def parse_etag(text: str, field: str = "etag") -> int:
    """The revision behind an etag. InvalidArgument, naming `field`, if it is none of ours."""
    if _ETAG.fullmatch(text) is None:
        raise InvalidArgument.of(field, "is the etag of a memory, as an answer gave it")
    return int(text)
