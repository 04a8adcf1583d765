"""Who is calling: the JWT of a call, verified, and what it allows."""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import jwt

from services.runtime import names
from services.runtime.clock import MonotonicClock, WallClock, monotonic, utc_now
from services.runtime.errors import ScopeMissing, Unauthenticated, UserForbidden
from services.runtime.watched import Watched

ISSUER = "reverie"
AUDIENCE = "reverie"
ALGORITHM = "ES256"

ALL_USERS = "users:*"
"""The scope that allows acting for every user of the tenant."""

OPERATOR = "operator"
"""The scope that allows operators' APIs."""

SKEW = timedelta(seconds=60)
"""How far the issuer's clock may be ahead of ours. A token's end is taken to the second."""

REMEMBERED = 4_096
"""How many verified tokens are remembered; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller behind a verified JWT."""

    tenant: UUID
    user: str | None
    """The one user it may act for, unless it has the scope `users:*`."""
    scopes: frozenset[str]
    expires: datetime

    def owner_of(self, user: str) -> UUID:
        """The owner of a user's memories. UserForbidden if the caller may not act for that user."""
        if user != self.user and ALL_USERS not in self.scopes:
            raise UserForbidden
        return names.owner_of(self.tenant, user)

    def require(self, scope: str) -> None:
        """ScopeMissing unless the caller has the scope."""
        if scope not in self.scopes:
            raise ScopeMissing(f"the token lacks the scope {scope!r}")


class Call(NamedTuple):
    """What travels on from the call under way to those made for it."""

    principal: Principal
    authorization: str
    """The header as it came: `Bearer <jwt>`."""
    token: str | None
    """The consistency token that came with it."""


_CALL: ContextVar[Call | None] = ContextVar("call", default=None)


def enter(call: Call) -> None:
    """Makes `call` the one under way, in this task and those that it starts."""
    _CALL.set(call)


def call() -> Call:
    """The call under way. Unauthenticated where none came with a JWT: in internal APIs, in the background."""
    found = _CALL.get()
    if found is None:
        raise Unauthenticated("no caller's JWT belongs to this work")
    return found


def current() -> Principal:
    """The principal of the call under way. Unauthenticated where there is none."""
    return call().principal


class Verifier:
    """Verifies JWTs by the public keys of a JWKS file, which is read again when it changes.

    What a key that is gone has signed is refused from then on.
    """

    def __init__(
        self, jwks_path: Path, clock: WallClock = utc_now, monotonic_clock: MonotonicClock = monotonic
    ) -> None:
        self._clock = clock
        self._watched = Watched(jwks_path, _keys, monotonic_clock)
        self._known: dict[str, Principal] = {}
        self._known_by = self._watched.value()

    def verify(self, token: str) -> Principal:
        """The principal of a JWT. Unauthenticated if it is forged, expired, not yet valid, or not for us."""
        if self._watched.value() is not self._known_by:
            self._forget()
        found = self._known.get(token)
        if found is None:
            found = self._verified(token)
            self._remember(token, found)
        if found.expires <= self._clock():
            self._known.pop(token, None)
            raise Unauthenticated("the JWT has expired; get a new one")
        return found

    def _forget(self) -> None:
        self._known.clear()
        self._known_by = self._watched.value()

    def _remember(self, token: str, principal: Principal) -> None:
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[token] = principal

    def _verified(self, token: str) -> Principal:
        try:
            claims = jwt.decode(
                token,
                self._key(jwt.get_unverified_header(token).get("kid")),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Times are checked by our own clock, which tests can set.
                options={
                    "require": ["iss", "aud", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as refused:
            raise Unauthenticated(f"the JWT is refused: {refused}") from refused
        self._check_start(claims)
        return _principal(claims)

    def _check_start(self, claims: Mapping[str, Any]) -> None:
        latest = self._clock() + SKEW
        if any(_instant(claims, name) > latest for name in ("iat", "nbf") if name in claims):
            raise Unauthenticated("the JWT is not valid yet; check the issuer's clock")

    def _key(self, kid: str | None) -> jwt.PyJWK:
        # A stranger's key id costs a look at the file's time.
        key = self._watched.value().get(kid) or self._watched.value(now=True).get(kid)
        if key is None:
            raise Unauthenticated("the JWT is signed by a key that is not known here")
        return key


def _keys(path: Path) -> Mapping[str | None, jwt.PyJWK]:
    keys = jwt.PyJWKSet.from_dict(json.loads(path.read_text())).keys
    return {key.key_id: key for key in keys}


def _principal(claims: Mapping[str, Any]) -> Principal:
    tenant, user, scope = claims.get("tenant"), claims.get("user"), claims.get("scope", "")
    try:
        tenant_id = UUID(tenant)
    except (ValueError, TypeError, AttributeError) as wrong:
        raise Unauthenticated("the JWT's claim `tenant` is not a UUID") from wrong
    if user is not None and not (isinstance(user, str) and names.is_user(user)):
        raise Unauthenticated("the JWT's claim `user` is not a user's name")
    if not isinstance(scope, str):
        raise Unauthenticated("the JWT's claim `scope` is not a text")
    return Principal(tenant_id, user, frozenset(scope.split()), _instant(claims, "exp"))


def _instant(claims: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(claims[name]), UTC)
    except (ValueError, TypeError, OverflowError, OSError) as wrong:
        raise Unauthenticated(f"the JWT's claim `{name}` is not a time") from wrong
