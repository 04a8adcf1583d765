"""Who may call what, through the edge as it runs."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import grpc
import jwt
import pytest
import pytest_asyncio

from mesh.topology import load
from ops.local import identity, pki
from ops.local.plan import instance_id
from ops.local.platform import Platform
from reverie.storage.v1 import admin_pb2, read_pb2
from reverie_client import Ids, methods
from services.catalog import SERVICES, Audience
from services.runtime import principal
from tests.stack.whole import calls
from tests.stack.whole.wire import Metadata, Wire, bearer, said

INTERNAL = tuple(api.name for row in SERVICES for api in row.apis if api.audience is Audience.INTERNAL)
OPERATOR = tuple({api.name for row in SERVICES for api in row.apis if api.audience is Audience.OPERATOR})


@pytest.fixture(params=["public", "operator"])
def listener(request: pytest.FixtureRequest, public: Wire, operator: Wire) -> Wire:
    return public if request.param == "public" else operator


@pytest_asyncio.fixture
async def kept(platform: Platform, public: Wire, user: str) -> AsyncIterator[tuple[UUID, str]]:
    """A memory of the user, and its etag."""
    id_ = Ids().mint()
    made = await public.call(*calls.create(user, id_), bearer(platform.token(user=user)))
    yield id_, made.memory.etag


def signed(platform: Platform, user: str, key: Any = None, algorithm: str = "ES256", **changes: Any) -> str:
    """A JWT as the platform's own ones are, but for the claims that are changed; None leaves one out."""
    keys = pki.ensure_jwt_keys(platform.home.secrets)
    now = int(time.time())
    claims = {
        "iss": principal.ISSUER,
        "aud": principal.AUDIENCE,
        "iat": now,
        "exp": now + 600,
        "tenant": str(platform.endpoint.tenant),
        "scope": "users:* operator",
        "user": user,
    } | changes
    stated = {name: value for name, value in claims.items() if value is not None}
    key = keys.key.read_bytes() if key is None else key
    return jwt.encode(stated, key, algorithm, headers={"kid": keys.key_id})


def _part(**fields: str) -> str:
    return _base64(json.dumps(fields).encode())


def _base64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def refused_headers(platform: Platform, user: str) -> Iterator[tuple[str, Metadata]]:
    """Each way in which a caller may fail to show who it is."""
    genuine = signed(platform, user)
    head, body, signature = genuine.split(".")
    _, other_body, _ = signed(platform, "somebody").split(".")
    foreign = pki.ensure_jwt_keys(platform.home.cache).key.read_bytes()
    shared = f"{_part(alg='HS256', kid=pki.ensure_jwt_keys(platform.home.secrets).key_id)}.{body}"
    public_half = pki.ensure_jwt_keys(platform.home.secrets).jwks.read_bytes()
    by_public_half = hmac.digest(public_half, shared.encode(), "sha256")
    unsigned = signed(platform, user, key="", algorithm="none")
    yield "none at all", ()
    yield "no scheme", (("authorization", genuine),)
    yield "nonsense", bearer("nonsense")
    yield "forged signature", bearer(f"{head}.{body}.{signature[:-8]}AAAAAAAA")
    yield "another body", bearer(f"{head}.{other_body}.{signature}")
    yield "no signature", bearer(f"{head}.{body}.")
    yield "algorithm none", bearer(unsigned)
    yield "algorithm none with a signature", bearer(unsigned + signature)
    yield "the public key as a secret", bearer(f"{shared}.{_base64(by_public_half)}")
    yield "another issuer's key", bearer(signed(platform, user, foreign))
    yield "another issuer", bearer(signed(platform, user, iss="somebody"))
    yield "another audience", bearer(signed(platform, user, aud="somebody"))
    yield "no audience", bearer(signed(platform, user, aud=None))
    yield "expired", bearer(signed(platform, user, exp=int(time.time()) - 3600))
    yield (
        "expired within what edges allow for clocks",
        bearer(signed(platform, user, exp=int(time.time()) - 2)),
    )
    yield "no end", bearer(signed(platform, user, exp=None))
    yield "not valid yet", bearer(signed(platform, user, nbf=int(time.time()) + 3600))
    yield "no tenant", bearer(signed(platform, user, tenant=None))
    yield "a tenant that is none", bearer(signed(platform, user, tenant="everybody"))


async def test_whoever_does_not_show_who_it_is_gets_no_call_through(
    platform: Platform, listener: Wire, user: str
) -> None:
    for method, request in calls.public_calls(user, Ids().mint()).values():
        for what, metadata in refused_headers(platform, user):
            refused = await listener.refusal(method, request, metadata)
            assert refused.code is grpc.StatusCode.UNAUTHENTICATED, (what, method.path, refused)


async def test_the_same_claims_genuinely_signed_are_let_in(
    platform: Platform, listener: Wire, user: str
) -> None:
    token = bearer(signed(platform, user))
    await listener.call(*calls.create(user), token)


async def test_a_service_looks_at_the_jwt_itself(platform: Platform, user: str) -> None:
    for service, call in (("ingest", "create"), ("storage", "get"), ("query", "search")):
        socket = platform.home.instance(instance_id(service)) / "app.sock"
        method, request = calls.public_calls(user, Ids().mint())[call]
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            for what, metadata in refused_headers(platform, user):
                refused = await Wire(channel).refusal(method, request, metadata)
                assert refused.code is grpc.StatusCode.UNAUTHENTICATED, (what, method.path, refused)
                assert refused.reason == "UNAUTHENTICATED"


async def test_what_is_another_tenants_is_not_found_as_what_is_unknown(
    platform: Platform, public: Wire, user: str, kept: tuple[UUID, str]
) -> None:
    id_, etag = kept
    foreign = bearer(identity.issue_token(platform.home, tenant=uuid4(), user=user))
    unknown = calls.about(user, Ids().mint(), etag)
    for what, (method, request) in calls.about(user, id_, etag).items():
        theirs = await public.refusal(method, request, foreign)
        none = await public.refusal(*unknown[what], foreign)
        assert (theirs.code, theirs.reason) == (grpc.StatusCode.NOT_FOUND, "MEMORY_NOT_FOUND"), what
        assert said(theirs) == said(none), what

    several = read_pb2.BatchGetMemoriesRequest(
        parent=f"users/{user}",
        names=[f"users/{user}/memories/{one}" for one in (id_, Ids().mint())],
    )
    answer = await public.call(methods.BATCH_GET, several, foreign)
    assert (list(answer.memories), list(answer.missing)) == ([], list(several.names))
    for call in ("list", "search", "on this day"):
        method, request = calls.public_calls(user, id_)[call]
        assert str(await public.call(method, request, foreign)) == "", call
    mine = await public.call(*calls.about(user, id_, etag)["get"], bearer(platform.token(user=user)))
    assert mine.memory.etag == etag


async def test_one_id_may_be_two_tenants_memories(
    platform: Platform, public: Wire, user: str, kept: tuple[UUID, str]
) -> None:
    id_, etag = kept
    foreign = bearer(identity.issue_token(platform.home, tenant=uuid4(), user=user))
    await public.call(*calls.create(user, id_, "Another tenant's."), foreign)
    get = calls.about(user, id_, etag)["get"]
    assert (await public.call(*get, foreign)).memory.text == "Another tenant's."
    assert (await public.call(*get, bearer(platform.token(user=user)))).memory.etag == etag


async def test_another_user_is_denied_alike_whatever_is_there(
    platform: Platform, public: Wire, user: str, kept: tuple[UUID, str]
) -> None:
    id_, etag = kept
    other = bearer(platform.token(user="somebody-else"))
    unknown = calls.public_calls(user, Ids().mint())
    for what, (method, request) in calls.public_calls(user, id_, etag).items():
        theirs = await public.refusal(method, request, other)
        assert (theirs.code, theirs.reason) == (grpc.StatusCode.PERMISSION_DENIED, "USER_FORBIDDEN"), what
        assert said(theirs) == said(await public.refusal(*unknown[what], other)), what
    any_user = bearer(platform.token(scopes=[identity.ANY_USER]))
    assert (await public.call(*calls.about(user, id_, etag)["get"], any_user)).memory.etag == etag


async def test_operators_apis_are_not_on_the_public_listener(
    platform: Platform, public: Wire, user: str
) -> None:
    everything = bearer(platform.token(user=user, scopes=identity.SCOPES))
    for path in (*(f"/{api}/Any" for api in OPERATOR), methods.QUEUE_STATS.path, methods.ECHO.path):
        assert await public.code(path, everything) is grpc.StatusCode.UNIMPLEMENTED, path


async def test_operators_apis_want_the_scope(platform: Platform, operator: Wire, user: str) -> None:
    without = bearer(platform.token(user=user, scopes=[identity.ANY_USER]))
    for method in (
        methods.QUEUE_STATS, methods.DEAD_LETTERS, methods.REPLAY, methods.DROP_SEGMENTS, methods.ECHO,
    ):  # fmt: skip
        refused = await operator.refusal(method, method.request(), without)  # type: ignore[misc]
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    with_it = bearer(platform.token(scopes=[identity.OPERATOR]))
    await operator.call(methods.QUEUE_STATS, admin_pb2.GetQueueStatsRequest(), with_it)


async def test_each_service_behind_the_operator_listener_wants_the_scope(
    platform: Platform, operator: Wire, user: str
) -> None:
    for service in ("ingest", "query", "storage"):
        metadata = (*bearer(platform.token(user=user)), ("reverie-echo-to", service))
        refused = await operator.refusal(methods.ECHO, methods.ECHO.request(), metadata)
        assert refused.reason == "SCOPE_MISSING", service


@pytest.mark.parametrize("api", INTERNAL)
async def test_internal_apis_cannot_be_reached_from_outside(
    platform: Platform, listener: Wire, user: str, api: str
) -> None:
    everything = bearer(platform.token(user=user, scopes=identity.SCOPES))
    names = ("WriteBatch", "Search", "ListOnDays", "ClaimDue", "AttachResults", "ReportFailures")
    for path in (f"/{api}/{name}" for name in names):
        assert await listener.code(path, everything) is grpc.StatusCode.UNIMPLEMENTED, path


async def test_paths_that_only_look_public_are_not_let_through(
    platform: Platform, listener: Wire, user: str
) -> None:
    everything = bearer(platform.token(user=user, scopes=identity.SCOPES))
    write = "reverie.storage.v1.StorageWriteService/WriteBatch"
    for path in (
        f"//{write}",
        f"/reverie.ingest.v1.IngestService/../{write}",
        f"/reverie.ingest.v1.IngestService/%2e%2e/{write}",
        f"/reverie.ingest.v1.IngestService/CreateMemory/../../{write}",
    ):
        assert await listener.code(path, everything) is grpc.StatusCode.UNIMPLEMENTED, path


async def test_a_service_port_wants_a_certificate_of_the_mesh(platform: Platform, user: str) -> None:
    ca = platform.endpoint.ca.read_bytes()
    for instance in load(platform.home.topology).instances:
        if not instance.port:
            continue
        credentials = grpc.ssl_channel_credentials(ca)
        options = (("grpc.ssl_target_name_override", instance.service),)
        async with grpc.aio.secure_channel(
            f"{instance.address}:{instance.port}", credentials, options
        ) as channel:
            everything = bearer(platform.token(user=user, scopes=identity.SCOPES))
            for api in INTERNAL:
                assert await Wire(channel).code(f"/{api}/Any", everything) is grpc.StatusCode.UNAVAILABLE


async def test_a_service_with_a_certificate_may_call_only_what_the_catalog_says(platform: Platform) -> None:
    form = load(platform.home.topology)
    storage = next(one for one in form.instances if one.service == "storage")
    for caller in ("query", "analyse", "edge"):
        own = platform.home.pki / f"{caller}.pem"
        credentials = grpc.ssl_channel_credentials(
            form.ca.read_bytes(), own.with_suffix(".key").read_bytes(), own.read_bytes()
        )
        options = (("grpc.ssl_target_name_override", "storage"),)
        address = f"{storage.address}:{storage.port}"
        async with grpc.aio.secure_channel(address, credentials, options) as channel:
            code = await Wire(channel).code("/reverie.storage.v1.StorageWriteService/WriteBatch")
            assert code is grpc.StatusCode.PERMISSION_DENIED, caller


async def test_marks_that_a_client_forges_have_no_effect(platform: Platform, public: Wire, user: str) -> None:
    forged = (("x-reverie-request-id", "the-same"), ("x-reverie-received-at", "1700000000000"))
    token = bearer(platform.token(user=user))
    made = [await public.call(*calls.create(user), (*token, *forged)) for _ in range(2)]
    one, two = (answer.memory.name for answer in made)
    assert one != two
    assert all(UUID(name.rpartition("/")[2]).int >> 80 > 1_700_000_000_000 for name in (one, two))
    listed = await public.call(methods.LIST, read_pb2.ListMemoriesRequest(parent=f"users/{user}"), token)
    assert {memory.name for memory in listed.memories} == {one, two}
