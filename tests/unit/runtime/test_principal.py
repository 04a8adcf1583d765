import asyncio
import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.runtime import names, principal
from services.runtime.errors import ScopeMissing, Unauthenticated, UserForbidden
from services.runtime.principal import Call, Principal, Verifier

NOW = datetime(2026, 5, 7, 12, tzinfo=UTC)
TENANT = UUID(int=1)


def new_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def segment(content: Any) -> Any:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def public(key: Any, kid: Any) -> Any:
    return jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "alg": "ES256"}


class Issuer:
    """A key, its JWKS file, a clock that stands where it is put, and a verifier."""

    def __init__(self, path: Path) -> None:
        self.key = new_key()
        self.path = path
        self.now = NOW
        self.seconds = 0.0
        self.publish(public(self.key, "k1"))
        self.verifier = Verifier(path, lambda: self.now, lambda: self.seconds)

    def publish(self, *keys: Any) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"keys": keys}))
        new.replace(self.path)

    def token(
        self, key: Any = None, kid: Any = "k1", algorithm: Any = "ES256", headers: Any = None, **changes: Any
    ) -> Any:
        claims = {
            "iss": "reverie",
            "aud": "reverie",
            "iat": int(self.now.timestamp()),
            "exp": int((self.now + timedelta(minutes=5)).timestamp()),
            "tenant": str(TENANT),
            "user": "ines",
            "scope": "one two",
        } | changes
        claims = {name: claim for name, claim in claims.items() if claim is not None}
        return jwt.encode(claims, key or self.key, algorithm, headers={"kid": kid} | (headers or {}))


@pytest.fixture
def issuer(tmp_path: Path) -> Any:
    return Issuer(tmp_path / "jwks.json")


def test_a_verified_jwt_says_who_is_calling(issuer: Issuer) -> None:
    expected = Principal(TENANT, "ines", frozenset({"one", "two"}), NOW + timedelta(minutes=5))
    assert issuer.verifier.verify(issuer.token()) == expected


def test_a_jwt_may_go_without_user_and_scope(issuer: Issuer) -> None:
    found = issuer.verifier.verify(issuer.token(user=None, scope=None))
    assert (found.user, found.scopes) == (None, frozenset())


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": None},
        {"iss": "other"},
        {"iss": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 10**30},
        {"iat": None},
        {"iat": int((NOW + timedelta(minutes=2)).timestamp())},
        {"nbf": int((NOW + timedelta(minutes=2)).timestamp())},
        {"exp": int(NOW.timestamp())},
        {"exp": int((NOW - timedelta(days=1)).timestamp())},
        {"tenant": None},
        {"tenant": "acme"},
        {"tenant": 5},
        {"user": "no such name"},
        {"user": ["ines"]},
        {"scope": ["users:*"]},
    ],
)
def test_a_jwt_that_is_not_for_us_or_not_for_now_is_refused(issuer: Issuer, changes: Any) -> None:
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(issuer.token(**changes))


def test_a_jwt_signed_by_a_foreign_key_is_refused(issuer: Issuer) -> None:
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(issuer.token(key=new_key()))
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(issuer.token(key=new_key(), kid="k2"))


def test_a_jwt_without_signature_is_refused(issuer: Issuer) -> None:
    _, claims, signature = issuer.token().split(".")
    for algorithm in ("none", "None", "ES256"):
        head = segment(json.dumps({"alg": algorithm, "kid": "k1"}).encode())
        for kept in ("", signature):
            with pytest.raises(Unauthenticated):
                issuer.verifier.verify(f"{head}.{claims}.{kept}")


def test_a_jwt_signed_with_the_public_key_as_a_secret_is_refused(issuer: Issuer) -> None:
    secret = issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _, claims, _ = issuer.token().split(".")
    signed = f"{segment(json.dumps({'alg': 'HS256', 'kid': 'k1'}).encode())}.{claims}"
    signature = segment(hmac.digest(secret, signed.encode(), "sha256"))
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(f"{signed}.{signature}")


def test_a_jwt_with_its_claims_changed_is_refused(issuer: Issuer) -> None:
    head, _, signature = issuer.token().split(".")
    _, claims, _ = issuer.token(user="bruno").split(".")
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(f"{head}.{claims}.{signature}")


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "é.é.é", "eyJhbGciOiJFUzI1NiJ9..", "\0"])
def test_what_is_no_jwt_is_refused(issuer: Issuer, text: str) -> None:
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(text)


def test_a_remembered_jwt_is_refused_once_it_has_expired(issuer: Issuer) -> None:
    token = issuer.token()
    issuer.verifier.verify(token)
    issuer.now += timedelta(minutes=4, seconds=59)
    issuer.verifier.verify(token)
    issuer.now += timedelta(seconds=1)
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="expired"):
            issuer.verifier.verify(token)


def test_no_more_jwts_are_remembered_than_there_is_room_for(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principal, "REMEMBERED", 3)
    for number in range(10):
        issuer.verifier.verify(issuer.token(user=f"u{number}"))
    assert len(issuer.verifier._known) == 3


def test_what_a_withdrawn_key_has_signed_is_refused_within_a_second(issuer: Issuer) -> None:
    token = issuer.token()
    issuer.verifier.verify(token)
    issuer.publish(public(new_key(), "k2"))
    issuer.seconds = 1.0
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(token)


@pytest.mark.parametrize("damage", ["", "[]", "{"])
def test_a_damaged_file_of_keys_leaves_the_old_ones(issuer: Issuer, damage: str) -> None:
    issuer.path.write_text(damage)
    issuer.seconds = 1.0
    assert issuer.verifier.verify(issuer.token()).user == "ines"
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(issuer.token(kid="k2"))


def test_a_key_that_is_published_later_is_found(issuer: Issuer) -> None:
    key = new_key()
    token = issuer.token(key=key, kid="k2")
    with pytest.raises(Unauthenticated):
        issuer.verifier.verify(token)
    issuer.publish(public(issuer.key, "k1"), public(key, "k2"))
    assert issuer.verifier.verify(token).user == "ines"


def test_a_caller_acts_for_its_own_user_alone() -> None:
    ines = Principal(TENANT, "ines", frozenset({"operator"}), NOW)
    assert ines.owner_of("ines") == names.owner_of(TENANT, "ines")
    with pytest.raises(UserForbidden):
        ines.owner_of("bruno")
    with pytest.raises(UserForbidden):
        Principal(TENANT, None, frozenset(), NOW).owner_of("ines")


def test_the_scope_for_all_users_allows_each_of_them() -> None:
    anyone = Principal(TENANT, None, frozenset({"users:*"}), NOW)
    assert anyone.owner_of("bruno") == names.owner_of(TENANT, "bruno")


def test_a_scope_that_is_missing_is_named() -> None:
    with pytest.raises(ScopeMissing, match="operator"):
        Principal(TENANT, None, frozenset(), NOW).require("operator")


def test_work_without_a_caller_has_no_principal() -> None:
    with pytest.raises(Unauthenticated):
        principal.current()


async def test_the_caller_is_known_in_its_own_call_alone() -> None:
    caller = Principal(TENANT, "ines", frozenset(), NOW)

    async def work() -> Any:
        principal.enter(Call(caller, "Bearer x", None))
        return principal.current()

    assert await asyncio.create_task(work()) is caller
    with pytest.raises(Unauthenticated):
        principal.current()
