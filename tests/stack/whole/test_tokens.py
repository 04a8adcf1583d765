"""Page tokens and consistency tokens that are not the caller's to use."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
import pytest_asyncio

from ops.local import identity
from ops.local.platform import Platform
from reverie.ingest.v1 import ingest_pb2
from reverie.memory.v1 import memory_pb2
from reverie.query.v1 import query_pb2
from reverie.storage.v1 import admin_pb2, read_pb2
from reverie_client import Ids, methods
from reverie_client.methods import Method
from reverie_client.times import to_timestamp
from services.runtime.tokens import ConsistencyToken, Keyring, Tokens
from tests.stack.whole import calls
from tests.stack.whole.wire import TOKEN, Metadata, Wire, bearer

DAY = to_timestamp(calls.THEN + timedelta(days=365))


def first_pages(user: str) -> dict[str, calls.Call]:
    """Requests that have more than one page of a user with three memories."""
    parent = f"users/{user}"
    return {
        "list": (methods.LIST, read_pb2.ListMemoriesRequest(parent=parent, page_size=1)),
        "search": (
            methods.SEARCH,
            query_pb2.SearchMemoriesRequest(parent=parent, query="ferry", page_size=1),
        ),
        "on this day": (
            methods.ON_THIS_DAY,
            query_pb2.ListOnThisDayRequest(parent=parent, page_size=1, time=DAY),
        ),
    }


PAGED = tuple(first_pages(""))


def continued(call: calls.Call, token: str, **changes: Any) -> calls.Call:
    """The same request for the page of a token, but for some fields."""
    method, request = call
    other = type(request)()
    other.CopyFrom(request)
    other.MergeFrom(type(request)(page_token=token, **changes))
    return method, other


@pytest_asyncio.fixture
async def mine(platform: Platform, public: Wire, user: str) -> Metadata:
    """The metadata of a user with three memories."""
    metadata = bearer(platform.token(user=user))
    await fill(public, user, metadata)
    return metadata


async def fill(public: Wire, user: str, metadata: Metadata) -> None:
    requests = [
        ingest_pb2.CreateMemoryRequest(memory_id=str(Ids().mint()), memory=calls.memory(f"Ferry {n}."))
        for n in range(3)
    ]
    request = ingest_pb2.BatchCreateMemoriesRequest(parent=f"users/{user}", requests=requests)
    await public.call(methods.BATCH_CREATE, request, metadata)


async def token_of(wire: Wire, call: calls.Call, metadata: Metadata) -> str:
    token: str = (await wire.call(*call, metadata)).next_page_token
    assert token
    return token


async def is_refused(wire: Wire, call: calls.Call, metadata: Metadata, what: str) -> None:
    refused = await wire.refusal(*call, metadata)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOKEN_INVALID"), what


def forgeries(token: str) -> Iterator[str]:
    """The token with one letter changed, everywhere, and some that were never one."""
    for at, letter in enumerate(token):
        yield token[:at] + ("B" if letter == "A" else "A") + token[at + 1 :]
    yield from (
        token[:-1],
        token + "A",
        token[: len(token) // 2],
        token * 2,
        "A",
        "AAAA",
        "nonsense",
        "é",
        ".",
    )


def by_other_keys(token: str, *key_ids: str) -> Iterator[str]:
    """What another installation, or keys that are long gone, would have sealed."""
    for key_id in key_ids:
        for kind in ("timeline", "query.search", "query.day", "consistency"):
            yield Tokens(Keyring({key_id: b"k" * 32})).seal(kind, token.encode()[:80])


@pytest.mark.parametrize("what", PAGED)
async def test_forged_page_tokens_are_refused(public: Wire, user: str, mine: Metadata, what: str) -> None:
    call = first_pages(user)[what]
    token = await token_of(public, call, mine)
    for forged in (*forgeries(token), *by_other_keys(token, "0001", "0000")):
        await is_refused(public, continued(call, forged), mine, forged)
    assert str(await public.call(*continued(call, token), mine))


@pytest.mark.parametrize("what", PAGED)
async def test_page_tokens_of_others_are_refused(
    platform: Platform, public: Wire, user: str, mine: Metadata, what: str
) -> None:
    token = await token_of(public, first_pages(user)[what], mine)
    other = f"{user}-other"
    theirs = bearer(platform.token(user=other))
    await fill(public, other, theirs)
    await is_refused(public, continued(first_pages(other)[what], token), theirs, "another user")

    tenants = bearer(identity.issue_token(platform.home, tenant=uuid4(), user=user))
    await fill(public, user, tenants)
    call = first_pages(user)[what]
    await is_refused(public, continued(call, token), tenants, "the user of that name of another tenant")


async def test_page_tokens_of_other_requests_are_refused(public: Wire, user: str, mine: Metadata) -> None:
    requests = first_pages(user)
    only = memory_pb2.MemoryFilter(labels=["sea"])
    since = memory_pb2.TimeRange(start_time=to_timestamp(calls.THEN))
    changes: dict[str, list[dict[str, Any]]] = {
        "list": [
            {"filter": only}, {"time_range": since}, {"view": memory_pb2.MEMORY_VIEW_FULL},
            {"order": read_pb2.TIMELINE_ORDER_OLDEST_FIRST},
        ],
        "search": [
            {"filter": only}, {"time_range": since}, {"query": "lighthouse"}, {"neighbors_after": 1},
            {"explain": True},
        ],
        "on this day": [
            {"time": to_timestamp(calls.THEN + timedelta(days=730))}, {"time_zone": "Asia/Tokyo"},
            {"leap_day": query_pb2.LEAP_DAY_STRICT},
        ],
    }  # fmt: skip
    tokens = {what: await token_of(public, call, mine) for what, call in requests.items()}
    for what, call in requests.items():
        for change in changes[what]:
            await is_refused(public, continued(call, tokens[what], **change), mine, f"{what}: {change}")
        for other, token in tokens.items():
            if other != what:
                await is_refused(public, continued(call, token), mine, f"{other}'s for {what}")
        # How much a page holds may change on the way.
        await public.call(*continued(call, tokens[what], page_size=3), mine)


async def test_operators_page_tokens_are_no_others(
    platform: Platform, public: Wire, operator: Wire, user: str, mine: Metadata
) -> None:
    token = await token_of(public, first_pages(user)["list"], mine)
    request = admin_pb2.ListDeadLettersRequest(page_token=token)
    metadata = bearer(platform.token(scopes=[identity.OPERATOR]))
    await is_refused(operator, (methods.DEAD_LETTERS, request), metadata, "a timeline's for dead letters")


def reads(user: str) -> dict[str, tuple[Method[Any, Any], Any]]:
    """Every call that a consistency token binds."""
    names = ("batch get", "list", "analysis", "search", "on this day")
    return {name: calls.public_calls(user, Ids().mint())[name] for name in names}


async def test_forged_consistency_tokens_are_refused(public: Wire, user: str, mine: Metadata) -> None:
    await public.call(*reads(user)["list"], mine)
    genuine = public.token
    assert genuine
    few = [*forgeries(genuine)][::7]
    for what, call in reads(user).items():
        await public.call(*call, (*mine, (TOKEN, genuine)))
        for forged in (*few, *by_other_keys(genuine, "0001", "0000")):
            if forged.isascii():
                await is_refused(public, call, (*mine, (TOKEN, forged)), f"{what}: {forged}")
    page = await token_of(public, first_pages(user)["list"], mine)
    await is_refused(public, reads(user)["list"], (*mine, (TOKEN, page)), "a page token")


async def test_a_consistency_token_of_somebody_else_promises_and_shows_nothing(
    platform: Platform, public: Wire, user: str, mine: Metadata
) -> None:
    await public.call(*reads(user)["list"], mine)
    foreign = public.token
    for tenant, other in ((platform.endpoint.tenant, f"{user}-other"), (uuid4(), user)):
        theirs = bearer(identity.issue_token(platform.home, tenant=tenant, user=other))
        for what, call in reads(other).items():
            with_it = await public.call(*call, (*theirs, (TOKEN, foreign)))
            assert with_it == await public.call(*call, theirs), what
            assert public.token != foreign


async def test_who_is_promised_more_than_there_is_gets_no_answer_rather_than_an_old_one(
    platform: Platform, public: Wire, user: str, mine: Metadata
) -> None:
    await public.call(*reads(user)["list"], mine)
    tokens = Tokens(Keyring.load(identity.token_keys(platform.home)))
    seen = tokens.parse_consistency(public.token)
    # Analysis raises the revision too, but not by so much.
    promised = seen.revision + 1000
    later = tokens.consistency(seen._replace(revision=promised))
    for what, call in reads(user).items():
        refused = await public.refusal(*call, (*mine, (TOKEN, later)))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STALE_PRIMARY"), what
    another_history = tokens.consistency(ConsistencyToken(UUID(int=7).bytes, seen.owner, promised))
    await public.call(*reads(user)["list"], (*mine, (TOKEN, another_history)))
