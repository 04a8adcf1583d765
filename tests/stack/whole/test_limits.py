"""Requests beyond the limits, and clients that behave badly: told so, and nobody else is the worse for it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
import pytest_asyncio

from ops.local.platform import Platform
from reverie.ingest.v1 import ingest_pb2
from reverie.memory.v1 import memory_pb2
from reverie.query.v1 import query_pb2
from reverie.storage.v1 import read_pb2
from reverie_client import Ids, methods
from reverie_client.methods import Method
from tests.stack.whole import calls
from tests.stack.whole.http2 import deaf
from tests.stack.whole.wire import Metadata, Wire, bearer, wired

MIB = 1024 * 1024
LARGEST_TEXT = "x" * 32_768
BIG = 200
"""Memories of the largest size, as many as a page may have: more than a message may hold."""
HELD = 40
"""Answers that one client does not read."""


@pytest.fixture
def mine(platform: Platform, user: str) -> Metadata:
    return bearer(platform.token(user=user))


@pytest_asyncio.fixture
async def full(platform: Platform, public: Wire, user: str, mine: Metadata) -> read_pb2.ListMemoriesRequest:
    """The request whose answer is large."""
    for _ in range(2):
        items = [_item(LARGEST_TEXT) for _ in range(BIG // 2)]
        request = ingest_pb2.BatchCreateMemoriesRequest(parent=f"users/{user}", requests=items)
        await public.call(methods.BATCH_CREATE, request, mine)
    return read_pb2.ListMemoriesRequest(parent=f"users/{user}", page_size=BIG)


def _item(text: str) -> ingest_pb2.CreateMemoryRequest:
    return ingest_pb2.CreateMemoryRequest(memory_id=str(Ids().mint()), memory=calls.memory(text))


async def serves(wire: Wire, user: str, metadata: Metadata) -> None:
    """A user's usual calls get through, each at the first try and soon."""
    made = (await wire.call(*calls.create(user), metadata, within=5)).memory
    got = await wire.call(methods.GET, read_pb2.GetMemoryRequest(name=made.name), metadata, within=5)
    assert got.memory.text == made.text
    for call in ("list", "search"):
        method, request = calls.public_calls(user, Ids().mint())[call]
        assert made.name in str(await wire.call(method, request, metadata, within=5))


@pytest.mark.parametrize("size", [4 * MIB + 1, 5 * MIB, 16 * MIB, 64 * MIB])
async def test_a_message_over_the_size_limit_is_refused_and_the_connection_goes_on_serving(
    public: Wire, user: str, mine: Metadata, size: int
) -> None:
    for call in (calls.create(user, Ids().mint(), "x" * size), _batch_of(user, size)):
        refused = await public.refusal(*call, mine, within=30)
        assert refused.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert "text" in refused.message or "larger than" in refused.message
    await serves(public, user, mine)


def _batch_of(user: str, size: int) -> calls.Call:
    items = [_item(LARGEST_TEXT) for _ in range(size // len(LARGEST_TEXT) + 1)]
    return methods.BATCH_CREATE, ingest_pb2.BatchCreateMemoriesRequest(parent=f"users/{user}", requests=items)


async def test_the_largest_batch_of_the_contract_is_taken(public: Wire, user: str, mine: Metadata) -> None:
    items: list[ingest_pb2.CreateMemoryRequest] = []
    request = ingest_pb2.BatchCreateMemoriesRequest(parent=f"users/{user}")
    while request.ByteSize() < 4 * MIB - len(LARGEST_TEXT) - 200:
        items.append(_item(LARGEST_TEXT))
        request.requests.append(items[-1])
    answer = await public.call(methods.BATCH_CREATE, request, mine, within=30)
    assert [result.memory.name for result in answer.results] == [
        f"users/{user}/memories/{item.memory_id}" for item in items
    ]


def _broken_requests(user: str) -> dict[str, tuple[Method[Any, Any], Any, set[str]]]:
    parent, name = f"users/{user}", f"users/{user}/memories/{Ids().mint()}"
    memory = memory_pb2.Memory(
        text="x" * 32_769,
        kind=7,  # type: ignore[arg-type]
        place=memory_pb2.Place(name="", latitude=91),
        people=["y" * 129],
        labels=["fine", "a\x1fb"],
        source=memory_pb2.Source(conversation="", position=-1),
        language="no tag!",
        attachments=[memory_pb2.Attachment(object="o", media_type="a/b", size=-1, digest="sha256:00")],
    )
    memory.occurred_at.seconds = 253_402_214_400
    memory.occurred_utc_offset.seconds = 61
    memory.occurred_until.seconds = 0
    of_memory = {
        f"memory.{field}"
        for field in (
            "text", "kind", "occurred_at", "occurred_utc_offset", "occurred_until", "place", "place.name",
            "place.latitude", "people[0]", "labels[1]", "source.conversation", "source.position", "language",
            "attachments[0].size", "attachments[0].digest",
        )
    }  # fmt: skip
    only = memory_pb2.MemoryFilter(
        kinds=[memory_pb2.MEMORY_KIND_UNSPECIFIED], labels=[""], people=["p" * 129], speaker="s" * 129,
        conversation="c" * 129,
    )  # fmt: skip
    of_filter = {
        f"filter.{field}" for field in ("kinds[0]", "labels[0]", "people[0]", "speaker", "conversation")
    }
    backwards = memory_pb2.TimeRange()
    backwards.start_time.seconds, backwards.end_time.seconds = 2, 1
    update = ingest_pb2.UpdateMemoryRequest(memory=memory_pb2.Memory(name=name, etag="?", text=""))
    update.update_mask.paths.extend(["text", "kind", "revision"])
    too_many = [ingest_pb2.CreateMemoryRequest()] * 1001
    return {
        "create": (
            methods.CREATE,
            ingest_pb2.CreateMemoryRequest(parent="ana", memory_id="seven", memory=memory),
            {"parent", "memory_id", *of_memory},
        ),
        "batch create": (
            methods.BATCH_CREATE,
            ingest_pb2.BatchCreateMemoriesRequest(parent="users/", requests=too_many),
            {"parent", "requests"},
        ),
        "update": (
            methods.UPDATE,
            update,
            {"memory.etag", "memory.text", "update_mask.paths[1]", "update_mask.paths[2]"},
        ),
        "delete": (methods.DELETE, ingest_pb2.DeleteMemoryRequest(name=name.upper()), {"name"}),
        "get": (methods.GET, read_pb2.GetMemoryRequest(name=f"{parent}/memories/7"), {"name"}),
        "batch get": (
            methods.BATCH_GET,
            read_pb2.BatchGetMemoriesRequest(parent=parent, names=[name, name.replace("user-", "ana-")]),
            {"names[1]"},
        ),
        "list": (
            methods.LIST,
            read_pb2.ListMemoriesRequest(
                parent=parent, filter=only, time_range=backwards, page_size=-1, page_token="t" * 4097
            ),
            {"page_size", "page_token", "time_range.end_time", *of_filter},
        ),
        "search": (
            methods.SEARCH,
            query_pb2.SearchMemoriesRequest(
                parent=parent, query="q" * 2049, filter=only, time_range=backwards, page_size=-1,
                neighbors_before=11, neighbors_after=-1,
            ),
            {"query", "time_range.end_time", "page_size", "neighbors_before", "neighbors_after", *of_filter},
        ),
        "on this day": (
            methods.ON_THIS_DAY,
            query_pb2.ListOnThisDayRequest(parent="", time_zone="Atlantis", page_size=-1),
            {"parent", "time_zone", "page_size"},
        ),
    }  # fmt: skip


@pytest.mark.parametrize("what", _broken_requests("user-"))
async def test_all_fields_that_break_a_limit_are_named_at_once(
    public: Wire, user: str, mine: Metadata, what: str
) -> None:
    method, request, fields = _broken_requests(user)[what]
    refused = await public.refusal(method, request, mine)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert {violation.field for violation in refused.violations} == fields
    assert all(violation.description for violation in refused.violations)


async def test_a_batch_names_the_broken_fields_of_each_item_and_takes_the_rest(
    public: Wire, user: str, mine: Metadata
) -> None:
    items = [_item("Fine."), _item(""), _item("x" * 32_769), _item("Fine too.")]
    request = ingest_pb2.BatchCreateMemoriesRequest(parent=f"users/{user}", requests=items)
    results = (await public.call(methods.BATCH_CREATE, request, mine)).results
    assert [result.WhichOneof("result") for result in results] == ["memory", "error", "error", "memory"]
    for result in (results[1], results[2]):
        assert result.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert [broken.field for broken in result.error.field_violations] == ["memory.text"]


async def test_the_largest_pages_of_the_largest_memories_are_answered(
    public: Wire, user: str, mine: Metadata, full: read_pb2.ListMemoriesRequest
) -> None:
    names: list[str] = []
    while full.page_token or not names:
        answer = await public.call(methods.LIST, full, mine)
        assert answer.memories
        names += [memory.name for memory in answer.memories]
        full.page_token = answer.next_page_token
    assert len(set(names)) == len(names) == BIG
    several = read_pb2.BatchGetMemoriesRequest(parent=f"users/{user}", names=names)
    assert [memory.name for memory in (await public.call(methods.BATCH_GET, several, mine)).memories] == names


async def test_who_stops_reading_holds_nobody_up(
    platform: Platform, public: Wire, user: str, mine: Metadata, full: read_pb2.ListMemoriesRequest
) -> None:
    endpoint, token = platform.endpoint, platform.token(user=user)
    async with AsyncExitStack() as clients, asyncio.timeout(30):
        for _ in range(2):
            client = await clients.enter_async_context(deaf(endpoint.public[0], endpoint.ca))
            for _ in range(HELD // 2):
                # One at a time: of many that come at once, some are refused as a crowd.
                await client.held_up(client.ask(methods.LIST.path, token, full.SerializeToString()))
        other = f"{user}-other"
        theirs = bearer(platform.token(user=other))
        await serves(public, other, theirs)
        async with wired(endpoint.public, endpoint.ca) as new:
            await serves(new, other, theirs)
            assert len((await new.call(methods.LIST, full, mine)).memories) > BIG // 2
    await serves(public, user, mine)


@asynccontextmanager
async def silent(platform: Platform, context: ssl.SSLContext | None) -> AsyncIterator[None]:
    """A connection on which nothing is ever said; without a context not even about TLS."""
    host, _, port = platform.endpoint.public[0].rpartition(":")
    name = "localhost" if context else None
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)
    try:
        yield
    finally:
        writer.transport.abort()


async def test_who_connects_and_says_nothing_holds_nobody_up(
    platform: Platform, public: Wire, user: str, mine: Metadata
) -> None:
    context = ssl.create_default_context(cafile=str(platform.endpoint.ca))
    context.set_alpn_protocols(["h2"])
    async with AsyncExitStack() as connections:
        for _ in range(50):
            await connections.enter_async_context(silent(platform, None))
            await connections.enter_async_context(silent(platform, context))
        await serves(public, user, mine)
        async with wired(platform.endpoint.public, platform.endpoint.ca) as new:
            await serves(new, user, mine)


async def test_who_leaves_in_the_middle_of_a_call_harms_nobody(
    platform: Platform, public: Wire, user: str, mine: Metadata
) -> None:
    for _ in range(20):
        begun = asyncio.ensure_future(public.call(*calls.create(user), mine))
        await asyncio.sleep(0)
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
    await serves(public, user, mine)
