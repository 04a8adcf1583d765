"""Streams over a store in memory, on a clock that skips what is waited for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from reverie.ingest.v1.ingest_pb2 import (
    CreatedRun,
    MemoryColumns,
    StreamItem,
    StreamMemoriesRequest,
    StreamMemoriesResponse,
)
from services.ingest.batcher import Batcher
from services.ingest.stream import Limits
from services.ingest.streaming import Streams, StreamSettings
from services.runtime import names, principal
from services.runtime.errors import (
    Draining,
    InvalidArgument,
    Overloaded,
    ReverieError,
    StoreDown,
    Unauthenticated,
    UnknownOutcome,
    UserForbidden,
)
from services.runtime.principal import Call, Principal
from services.runtime.tokens import ConsistencyToken
from tests.unit.ingest.callers import INES, OF_ANOTHER_TENANT, TENANT
from tests.unit.ingest.skipping import run
from tests.unit.ingest.store import LINEAGE, Store
from tests.unit.ingest.test_service import NOW, TOKENS, creation, name_of

SETTINGS = StreamSettings(Limits(window=200), most=3)


class Client:
    """One stream, as a client sees it. `sent` ends with None when it has sent all."""

    def __init__(self, streams: Streams) -> None:
        self.sent: asyncio.Queue[StreamMemoriesRequest | None] = asyncio.Queue()
        self.responses = streams.serve(self._requests())
        self.results: dict[int, Any] = {}
        self.runs: list[CreatedRun] = []
        self.token = ""

    async def _requests(self) -> AsyncIterator[StreamMemoriesRequest]:
        while (request := await self.sent.get()) is not None:
            yield request

    async def opened(self) -> "Client":
        first = await anext(self.responses)
        assert first == StreamMemoriesResponse(window=200, takes_columns=True)
        return self

    def send(
        self, *numbers: int, parent: str = "users/ines", takes_runs: bool = False, **fields: Any
    ) -> None:
        items = [
            StreamItem(sequence=number, request=creation(number, parent="", **fields)) for number in numbers
        ]
        self.sent.put_nowait(StreamMemoriesRequest(parent=parent, items=items, takes_runs=takes_runs))

    async def hear(self, many: int) -> None:
        """Reads until so many items have their results."""
        while len(self.results) < many:
            self.take(await anext(self.responses))

    async def hear_all(self) -> None:
        async for response in self.responses:
            self.take(response)

    def take(self, response: StreamMemoriesResponse) -> None:
        self.token = response.consistency_token
        self.runs += response.runs
        for each in response.results:
            assert each.sequence not in self.results
            self.results[each.sequence] = each.result


class Ingest:
    """The streams of one process."""

    def __init__(self, **settings: Any) -> None:
        self.store = Store()
        chosen: dict[str, Any] = {"lanes": 1, "bulk_lanes": 1, "queue_rows": 2000, "queue_bytes": 10**8}
        self.batcher = Batcher(self.store.write_batch, **chosen | settings)
        self.streams = Streams(self.batcher, TOKENS, SETTINGS, lambda: NOW)

    async def client(self, caller: Call = INES) -> Client:
        principal.enter(caller)
        return await Client(self.streams).opened()


def served(test: Callable[[Ingest], Awaitable[None]]) -> Callable[[], None]:
    def skipping() -> None:
        async def main() -> None:
            ingest = Ingest()
            async with ingest.batcher:
                await test(ingest)
            assert not ingest.streams._sessions

        run(main())

    skipping.__name__ = test.__name__
    return skipping


async def ends_with(kind: type[ReverieError], client: Client) -> Any:
    with pytest.raises(kind) as raised:
        await client.hear_all()
    return raised.value


def expiring(after: timedelta) -> Call:
    return Call(Principal(TENANT, "ines", frozenset(), NOW + after), "Bearer short", None)


@served
async def test_every_item_is_acknowledged_by_its_sequence_when_it_is_committed(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(*range(1, 101))
    client.send(*range(101, 151), parent="")
    client.sent.put_nowait(None)
    await client.hear_all()
    assert {number: result.memory.name for number, result in client.results.items()} == {
        number: name_of(number) for number in range(1, 151)
    }
    for number, result in client.results.items():
        stored = ingest.store.rows[name_of(number)].memory
        assert stored is not None
        assert (result.memory.revision, result.memory.etag) == (stored.revision, stored.etag)


@served
async def test_a_client_that_takes_runs_hears_of_many_items_at_once(ingest: Ingest) -> None:
    ingest.store.refused.add("odd")
    client = await ingest.client()
    client.send(*range(1, 101), takes_runs=True)
    client.send(101, text="odd")
    client.send(102, 103, 105)
    client.sent.put_nowait(None)
    await client.hear_all()
    told = [at for each in client.runs for at in range(each.first_sequence, each.first_sequence + each.count)]
    assert sorted([*told, *client.results]) == [*range(1, 104), 105]
    assert len(client.runs) < 10
    assert client.results[101].error.reason == "STORE_REFUSED"
    for each in client.runs:
        stored = ingest.store.rows[name_of(each.first_sequence)].memory
        assert stored is not None
        assert (each.revision, each.etag) == (stored.revision, stored.etag)


@served
async def test_a_frame_may_have_columns_beside_its_items(ingest: Ingest) -> None:
    client = await ingest.client()
    memories = [creation(number, text="") for number in (2, 3, 4)]
    some = MemoryColumns(
        sequences=[2, 3, 4],
        ids=b"".join(UUID(each.memory_id).bytes for each in memories),
        texts=["two", "", "four"],
        occurred_at=[0, 0, 0],
    )
    items = [StreamItem(sequence=1, request=creation(1, parent=""))]
    client.sent.put_nowait(StreamMemoriesRequest(parent="users/ines", items=items, columns=some))
    client.sent.put_nowait(None)
    await client.hear_all()
    assert {number: result.error.reason for number, result in client.results.items()} == {
        1: "", 2: "", 3: "INVALID_ARGUMENT", 4: "",
    }  # fmt: skip
    assert client.results[4].memory.name == name_of(4)
    assert {row.memory.text for row in ingest.store.rows.values() if row.memory} >= {"two", "four"}


@served
async def test_columns_of_different_lengths_end_the_stream(ingest: Ingest) -> None:
    client = await ingest.client()
    some = MemoryColumns(sequences=[1], texts=["one"], occurred_at=[0])
    client.sent.put_nowait(StreamMemoriesRequest(parent="users/ines", columns=some))
    error = await ends_with(InvalidArgument, client)
    assert [violation.field for violation in error.violations] == ["columns.ids"]


@served
async def test_answers_carry_a_token_that_shows_what_they_acknowledge(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(1, 2)
    await client.hear(2)
    owner = names.owner_of(TENANT, "ines")
    expected = ConsistencyToken(LINEAGE, owner, client.results[1].memory.revision)
    assert TOKENS.parse_consistency(client.token) == expected
    await client.responses.aclose()


@served
async def test_a_broken_item_has_its_own_error_and_the_stream_goes_on(ingest: Ingest) -> None:
    ingest.store.refused.add("odd")
    client = await ingest.client()
    client.send(1, text="")
    client.send(2, text="odd")
    client.send(3)
    other = StreamItem(sequence=4, request=creation(4, parent="users/bruno"))
    nameless = StreamItem(sequence=5, request=creation(0, parent="users/ines"))
    client.sent.put_nowait(StreamMemoriesRequest(items=[other, nameless]))
    client.sent.put_nowait(None)
    await client.hear_all()
    reasons = {number: result.error.reason for number, result in client.results.items()}
    assert reasons == {
        1: "INVALID_ARGUMENT",
        2: "STORE_REFUSED",
        3: "",
        4: "INVALID_ARGUMENT",
        5: "INVALID_ARGUMENT",
    }


@served
async def test_another_user_s_stream_is_refused(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(1, parent="users/bruno")
    await ends_with(UserForbidden, client)
    nameless = await ingest.client()
    nameless.send(1, parent="")
    await ends_with(InvalidArgument, nameless)
    assert ingest.store.batches == []


@served
async def test_one_item_more_than_the_window_ends_the_stream_with_what_is_wrong(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(*range(1, 202))
    error = await ends_with(InvalidArgument, client)
    assert "at most 200" in error.message


@served
async def test_a_client_that_reads_no_answers_has_its_window_and_no_more(ingest: Ingest) -> None:
    client = await ingest.client()
    for start in range(1, 10_000, 50):
        client.send(*range(start, start + 50))
    await asyncio.sleep(10)
    assert len(ingest.store.rows) == 200
    other = await ingest.client()
    other.send(20_000)
    await other.hear(1)
    await other.responses.aclose()
    await ends_with(InvalidArgument, client)


@served
async def test_a_store_that_is_down_ends_the_stream_and_not_its_items(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(1)
    await client.hear(1)
    ingest.store.failures = [StoreDown()]
    client.send(2, 3)
    await ends_with(StoreDown, client)
    assert list(client.results) == [1]


@served
async def test_an_unknown_commit_is_repeated_within_the_patience_of_its_items(ingest: Ingest) -> None:
    ingest.store.failures = [UnknownOutcome()] * 3
    client = await ingest.client()
    client.send(1)
    await client.hear(1)
    assert len(ingest.store.batches) == 4
    ingest.store.failures = [UnknownOutcome()] * 1000
    client.send(2)
    began = asyncio.get_running_loop().time()
    await ends_with(UnknownOutcome, client)
    assert 29 < asyncio.get_running_loop().time() - began <= 30
    ingest.store.failures = []


@served
async def test_a_stream_that_drains_acknowledges_what_it_read_and_takes_no_more(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(*range(1, 101))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    drained = asyncio.ensure_future(ingest.streams.drain())
    await ends_with(Draining, client)
    assert sorted(client.results) == [*range(1, 101)]
    await drained
    with pytest.raises(Draining):
        await ingest.client()


@served
async def test_a_process_does_not_wait_for_ever_for_a_client_that_reads_nothing(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(1)
    await asyncio.sleep(1)
    await ingest.streams.drain()
    assert asyncio.get_running_loop().time() == pytest.approx(1 + SETTINGS.drain)
    await client.responses.aclose()


@served
async def test_a_stream_ends_with_its_jwt(ingest: Ingest) -> None:
    client = await ingest.client(expiring(timedelta(seconds=50)))
    client.send(1)
    await client.hear(1)
    await ends_with(Unauthenticated, client)
    assert asyncio.get_running_loop().time() == 50


@served
async def test_a_process_that_drains_as_a_jwt_expires_ends_every_stream(ingest: Ingest) -> None:
    first = await ingest.client(expiring(timedelta(seconds=50)))
    others = [await ingest.client() for _ in range(2)]
    ends = [asyncio.ensure_future(ends_with(Unauthenticated, first))]
    ends += [asyncio.ensure_future(ends_with(Draining, other)) for other in others]
    await asyncio.sleep(50)
    await ingest.streams.drain()
    assert asyncio.get_running_loop().time() == 50
    await asyncio.gather(*ends)


@served
async def test_a_stream_on_which_nothing_comes_ends(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(1)
    await client.hear(1)
    await asyncio.sleep(200)
    client.send()
    error = await ends_with(Draining, client)
    assert "nothing came for 240 s" in error.message
    assert asyncio.get_running_loop().time() == 440


@served
async def test_there_are_so_many_streams_at_a_time_and_no_more(ingest: Ingest) -> None:
    clients = [await ingest.client() for _ in range(3)]
    with pytest.raises(Overloaded) as refused:
        await ingest.client()
    assert refused.value.retry_delay is not None
    await clients.pop().responses.aclose()
    clients.append(await ingest.client())
    for client in clients:
        await client.responses.aclose()


@served
async def test_one_tenant_s_streams_leave_room_for_another_s(ingest: Ingest) -> None:
    ingest.streams._settings = replace(SETTINGS, most_of_a_tenant=2)
    clients = [await ingest.client() for _ in range(2)]
    with pytest.raises(Overloaded):
        await ingest.client()
    clients.append(await ingest.client(OF_ANOTHER_TENANT))
    for client in clients:
        await client.responses.aclose()


@served
async def test_a_client_that_goes_leaves_nothing_behind(ingest: Ingest) -> None:
    client = await ingest.client()
    client.send(*range(1, 101))
    await asyncio.sleep(0)
    await client.responses.aclose()
    assert not ingest.streams._sessions


def test_frames_wait_for_room_in_their_lane_and_none_is_lost() -> None:
    async def main() -> None:
        ingest = Ingest(queue_rows=60)
        async with ingest.batcher:
            client = await ingest.client()
            for start in (1, 51, 101):
                client.send(*range(start, start + 50))
            client.sent.put_nowait(None)
            await client.hear_all()
        assert sorted(client.results) == [*range(1, 151)]

    run(main())
