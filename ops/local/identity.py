"""Who may call a local platform: development tokens, and the keys by which services seal theirs."""

import secrets
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from ops.local import pki
from ops.local.home import Home, HomeError, NotRunningError
from services.runtime import files, principal
from services.runtime.clock import WallClock, utc_now
from services.runtime.names import is_user

ANY_USER = principal.ALL_USERS
OPERATOR = principal.OPERATOR
SCOPES = (ANY_USER, OPERATOR)
DEFAULT_TTL = timedelta(hours=12)
LONGEST_TTL = timedelta(days=366)
_KEY_BYTES = 32


def token_keys(home: Home) -> Path:
    """The directory of the keys by which consistency and page tokens are sealed, `{key id}.key`."""
    return home.secrets / "tokens"


def ensure(home: Home) -> pki.JwtKeys:
    """Make the keys that are missing; they stay until somebody removes them."""
    directory = token_keys(home)
    directory.mkdir(mode=0o700, exist_ok=True)
    if not any(directory.glob("*.key")):
        path = directory / "0001.key"
        files.replace(path, secrets.token_hex(_KEY_BYTES) + "\n")
    return pki.ensure_jwt_keys(home.secrets)


def issue_token(
    home: Home,
    *,
    tenant: UUID | None = None,
    user: str | None = None,
    scopes: Collection[str] = (),
    ttl: timedelta = DEFAULT_TTL,
    now: WallClock = utc_now,
) -> str:
    """A JWT for development, signed by the home's key; no process needs to run.

    Without a tenant: the home's own. HomeError for an unknown scope, a token that lets nobody do anything,
    a name that no user can have, or a life that is not between a second and a year.
    """
    import jwt

    if unknown := set(scopes) - set(SCOPES):
        raise HomeError(f"unknown scope {', '.join(sorted(unknown))}: there are {', '.join(SCOPES)}")
    if user is None and not scopes:
        raise HomeError(f"such a token allows nothing: name a user, or a scope ({', '.join(SCOPES)})")
    if user is not None and not is_user(user):
        raise HomeError(f"{user!r} is no user: one is called by 1 to 128 characters of [A-Za-z0-9._@+-]")
    if not timedelta(seconds=1) <= ttl <= LONGEST_TTL:
        raise HomeError(f"a token lives between a second and {LONGEST_TTL.days} days, not {ttl}")
    tenant = tenant or home.tenant()
    if not (home.secrets / "jwt.key").exists():
        raise NotRunningError(f"{home.root} has no signing key yet: `reverie up` makes it")
    keys = pki.ensure_jwt_keys(home.secrets)
    issued = now()
    claims = {
        "iss": principal.ISSUER,
        "aud": principal.AUDIENCE,
        "iat": int(issued.timestamp()),
        "exp": int((issued + ttl).timestamp()),
        "tenant": str(tenant),
        "scope": " ".join(sorted(scopes)),
        **({"user": user} if user is not None else {}),
    }
    return jwt.encode(
        claims, keys.key.read_bytes(), algorithm=principal.ALGORITHM, headers={"kid": keys.key_id}
    )
