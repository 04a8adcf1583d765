import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from reverie.ingest.v1 import ingest_pb2
from reverie.memory.v1.memory_pb2 import Memory, MemoryView
from reverie.storage.v1.read_pb2 import GetMemoryRequest
from services.ingest.batcher import Batcher
from services.ingest.ids import derived_id
from services.ingest.service import MAX_BATCH_BYTES, IngestService
from services.ingest.streaming import Streams, StreamSettings
from services.runtime import names, principal
from services.runtime.errors import (
    DeadlineTooShort,
    EtagMismatch,
    InvalidArgument,
    MemoryDeleted,
    MemoryExists,
    MemoryNotFound,
    Overloaded,
    OwnerErased,
    ReverieError,
    StalePrimary,
    StoreDown,
    StoreRefused,
    TooLarge,
    UnknownOutcome,
    UserForbidden,
)
from services.runtime.tokens import ConsistencyToken, Keyring, Tokens
from tests.unit.ingest.callers import ANYONE, INES, TENANT
from tests.unit.ingest.memories import plain
from tests.unit.ingest.skipping import run
from tests.unit.ingest.store import LINEAGE, Store

NOW = datetime(2026, 5, 7, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
TOKENS = Tokens(Keyring({"1": b"k" * 32}))
STAMPED = (("x-reverie-request-id", "r1"), ("x-reverie-received-at", str(NOW_MS)))


class Context:
    """A call as gRPC hands it over."""

    def __init__(self, *metadata: tuple[str, str], left: float | None = None) -> None:
        self.metadata = metadata
        self.left = left
        self.trailing: dict[str, str] = {}

    def invocation_metadata(self) -> Any:
        return self.metadata

    def time_remaining(self) -> float | None:
        return self.left

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.trailing = dict(metadata)


class Ingest:
    """The service over a store in memory; its calls take what a stub's would."""

    def __init__(self, caller: principal.Call = INES, **settings: Any) -> None:
        chosen: dict[str, Any] = {"lanes": 1, "bulk_lanes": 1, "queue_rows": 2000, "queue_bytes": 10**8}
        self.store = Store()
        self.batcher = Batcher(self.store.write_batch, **chosen | settings)
        reader: Any = self.store
        streams = Streams(self.batcher, TOKENS, StreamSettings(), lambda: NOW)
        self.service: Any = IngestService(self.batcher, reader, TOKENS, streams, lambda: NOW)
        self.trailing: dict[str, str] = {}
        principal.enter(caller)

    async def call(
        self, method: str, request: Any, *stamps: tuple[str, str], left: float | None = 10.0
    ) -> Any:
        context = Context(*stamps, left=left)
        try:
            return await getattr(self.service, method)(request, context)
        finally:
            self.trailing = context.trailing

    async def create(self, number: int = 1, *stamps: tuple[str, str], **fields: Any) -> Memory:
        request = creation(number, **fields)
        response: ingest_pb2.CreateMemoryResponse = await self.call("CreateMemory", request, *stamps)
        return response.memory

    async def batch(self, *requests: ingest_pb2.CreateMemoryRequest, left: float | None = 10.0) -> Any:
        request = ingest_pb2.BatchCreateMemoriesRequest(parent="users/ines", requests=requests)
        return (await self.call("BatchCreateMemories", request, *STAMPED, left=left)).results

    async def update(self, memory: Memory, *mask: str) -> Memory:
        request = ingest_pb2.UpdateMemoryRequest(memory=memory, update_mask=FieldMask(paths=mask))
        response: ingest_pb2.UpdateMemoryResponse = await self.call("UpdateMemory", request)
        return response.memory

    async def delete(self, name: str, etag: str = "") -> None:
        await self.call("DeleteMemory", ingest_pb2.DeleteMemoryRequest(name=name, etag=etag))

    async def read(self, name: str) -> Memory:
        request = GetMemoryRequest(name=name, view=MemoryView.MEMORY_VIEW_BASIC)
        return (await self.store.get_memory(request, 1)).memory


def memory_id(number: int) -> str:
    return str(UUID(int=NOW_MS << 80 | 7 << 76 | 0b10 << 62 | number))


def name_of(number: int) -> str:
    return f"users/ines/memories/{memory_id(number)}"


def creation(number: int = 1, parent: str = "users/ines", **fields: Any) -> ingest_pb2.CreateMemoryRequest:
    return ingest_pb2.CreateMemoryRequest(
        parent=parent, memory_id=memory_id(number) if number else "", memory=plain(**fields)
    )


def fields_of(error: InvalidArgument) -> list[str]:
    return [violation.field for violation in error.violations]


async def refused(kind: type[ReverieError], call: Awaitable[Any]) -> Any:
    with pytest.raises(kind) as raised:
        await call
    return raised.value


def served(test: Callable[[Ingest], Awaitable[None]]) -> Callable[[], None]:
    """Runs a test with a service of its own, on a clock that skips what is waited for."""

    def skipping() -> None:
        async def main() -> None:
            ingest = Ingest()
            async with ingest.batcher:
                await test(ingest)

        run(main())

    skipping.__name__ = test.__name__
    return skipping


@served
async def test_the_answer_to_a_create_equals_what_a_read_gives(ingest: Ingest) -> None:
    created = await ingest.create(labels=["a"], name="nonsense", revision=99)
    assert created == await ingest.read(name_of(1))
    assert (created.name, created.revision, created.etag) == (name_of(1), 1, "1")
    assert created.create_time == Timestamp(seconds=1_700_000_001)


@served
async def test_a_repeated_create_returns_the_memory_as_it_is_now(ingest: Ingest) -> None:
    created = await ingest.create()
    assert await ingest.create() == created
    changed = await ingest.update(plain(name=created.name, etag=created.etag, text="changed"), "text")
    assert await ingest.create() == changed


@served
async def test_another_body_under_one_id_is_refused(ingest: Ingest) -> None:
    await ingest.create()
    await refused(MemoryExists, ingest.create(text="another"))


@served
async def test_two_bodies_under_one_id_at_once_give_one_memory(ingest: Ingest) -> None:
    ended = await asyncio.gather(
        *(ingest.create(text=text) for text in ("one", "two", "one", "two")), return_exceptions=True
    )
    assert [isinstance(each, MemoryExists) for each in ended] == [False, True, False, True]
    assert ended[0] == ended[2] == await ingest.read(name_of(1))


@served
async def test_the_token_of_an_answer_names_the_write(ingest: Ingest) -> None:
    await ingest.create(1)
    await ingest.create(2)
    token = TOKENS.parse_consistency(ingest.trailing["reverie-token"])
    assert token == ConsistencyToken(LINEAGE, names.owner_of(TENANT, "ines"), 2)


@served
async def test_every_broken_field_of_a_create_is_named_at_once(ingest: Ingest) -> None:
    request = creation(1, parent="ines", text="", language="?")
    request.memory_id = "1"
    error = await refused(InvalidArgument, ingest.call("CreateMemory", request))
    assert fields_of(error) == ["parent", "memory.text", "memory.language", "memory_id"]
    assert ingest.store.batches == []


@served
async def test_a_memory_for_another_user_is_refused_before_anything_is_sent(ingest: Ingest) -> None:
    await refused(UserForbidden, ingest.call("CreateMemory", creation(1, parent="users/bruno")))
    other = name_of(1).replace("ines", "bruno")
    await refused(UserForbidden, ingest.delete(other))
    await refused(UserForbidden, ingest.update(plain(name=other, etag="1"), "text"))
    batch = ingest_pb2.BatchCreateMemoriesRequest(parent="users/bruno", requests=[creation()])
    await refused(UserForbidden, ingest.call("BatchCreateMemories", batch))
    assert ingest.store.batches == []


@served
async def test_an_id_that_is_left_out_comes_from_what_the_edge_stamped(ingest: Ingest) -> None:
    created = await ingest.create(0, *STAMPED)
    assert created.name.endswith(str(derived_id("r1", NOW_MS, 0)))
    assert await ingest.create(0, *STAMPED) == created
    other = await ingest.create(0, ("x-reverie-request-id", "r2"), STAMPED[1])
    assert other.name != created.name


@served
async def test_an_id_that_is_left_out_where_no_edge_stamped_the_call_is_missed(ingest: Ingest) -> None:
    for stamps in ((), STAMPED[:1], STAMPED[1:], (STAMPED[0], ("x-reverie-received-at", "²"))):
        error = await refused(InvalidArgument, ingest.create(0, *stamps))
        assert fields_of(error) == ["memory_id"]


@served
async def test_a_call_without_time_for_a_commit_is_refused(ingest: Ingest) -> None:
    await refused(DeadlineTooShort, ingest.call("CreateMemory", creation(), left=0.004))
    assert ingest.store.batches == []


@served
async def test_a_lost_answer_is_asked_for_again(ingest: Ingest) -> None:
    ingest.store.failures = [UnknownOutcome(), UnknownOutcome()]
    assert await ingest.create() == await ingest.read(name_of(1))
    assert len(ingest.store.batches) == 3


@served
async def test_what_the_database_refuses_is_told_with_its_reason(ingest: Ingest) -> None:
    ingest.store.refused.add("odd")
    error = await refused(StoreRefused, ingest.create(text="odd"))
    assert error.message == "no such text"


@served
async def test_a_deleted_id_is_never_used_again(ingest: Ingest) -> None:
    created = await ingest.create()
    await ingest.delete(created.name)
    await ingest.delete(created.name)
    await refused(MemoryDeleted, ingest.create())
    await refused(MemoryDeleted, ingest.update(plain(name=created.name, etag=created.etag), "text"))


@served
async def test_what_is_unknown_can_be_neither_changed_nor_deleted(ingest: Ingest) -> None:
    await refused(MemoryNotFound, ingest.delete(name_of(1)))
    await refused(MemoryNotFound, ingest.update(plain(name=name_of(1), etag="1"), "text"))


@served
async def test_a_delete_of_another_state_is_refused(ingest: Ingest) -> None:
    created = await ingest.create()
    await refused(EtagMismatch, ingest.delete(created.name, "77"))
    await refused(InvalidArgument, ingest.delete(created.name, "x"))
    await ingest.delete(created.name, created.etag)
    await refused(MemoryNotFound, ingest.read(created.name))


@served
async def test_an_erased_user_takes_nothing_and_has_nothing(ingest: Ingest) -> None:
    created = await ingest.create()
    ingest.store.erased.add("ines")
    await refused(OwnerErased, ingest.create())
    await refused(MemoryNotFound, ingest.delete(created.name))
    await refused(MemoryNotFound, ingest.update(plain(name=created.name, etag="1"), "text"))


@served
async def test_the_answer_to_an_update_equals_what_a_read_gives(ingest: Ingest) -> None:
    created = await ingest.create(labels=["a"], language="en")
    changed = await ingest.update(
        plain(name=created.name, etag=created.etag, labels=["b", "c"], text="kept out"), "labels", "language"
    )
    assert changed == await ingest.read(created.name)
    assert (changed.text, list(changed.labels), changed.language) == (created.text, ["b", "c"], "")
    assert changed.create_time == created.create_time
    assert changed.update_time.seconds > created.create_time.seconds


@served
async def test_a_repeated_update_returns_the_memory_as_it_left_it(ingest: Ingest) -> None:
    created = await ingest.create()
    change = plain(name=created.name, etag=created.etag, text="changed")
    changed = await ingest.update(change, "text")
    assert await ingest.update(change, "text") == changed


@served
async def test_an_update_of_another_state_is_refused(ingest: Ingest) -> None:
    created = await ingest.create()
    await ingest.update(plain(name=created.name, etag=created.etag, text="first"), "text")
    change = plain(name=created.name, etag=created.etag, text="second")
    await refused(EtagMismatch, ingest.update(change, "text"))
    assert (await ingest.read(created.name)).text == "first"


@served
async def test_an_update_is_never_built_on_a_state_older_than_its_etag(ingest: Ingest) -> None:
    created = await ingest.create(language="en")
    newer = await ingest.update(plain(name=created.name, etag=created.etag, language="pt"), "language")
    sent = len(ingest.store.batches)
    ingest.store.replica = {created.name: created}
    change = plain(name=created.name, etag=newer.etag, text="changed")
    await refused(StalePrimary, ingest.update(change, "text"))
    assert len(ingest.store.batches) == sent
    ingest.store.replica = {}
    assert (await ingest.update(change, "text")).language == "pt"


@served
async def test_a_memory_that_a_read_does_not_show_yet_is_not_said_to_have_changed(ingest: Ingest) -> None:
    created = await ingest.create()
    ingest.store.replica = {created.name: None}
    change = plain(name=created.name, etag=created.etag, text="changed")
    await refused(StalePrimary, ingest.update(change, "text"))
    ingest.store.replica = {}
    assert (await ingest.update(change, "text")).text == "changed"


@served
async def test_every_broken_field_of_an_update_is_named_at_once(ingest: Ingest) -> None:
    error = await refused(InvalidArgument, ingest.update(plain(name="x", etag="y", text=""), "text", "kind"))
    assert fields_of(error) == ["memory.name", "memory.etag", "update_mask.paths[1]", "memory.text"]


@served
async def test_fields_that_fit_alone_must_fit_together(ingest: Ingest) -> None:
    created = await ingest.create(occurred_until=Timestamp(seconds=1_683_417_700))
    late = plain(name=created.name, etag=created.etag, occurred_at=Timestamp(seconds=1_683_417_800))
    error = await refused(InvalidArgument, ingest.update(late, "occurred_at"))
    assert fields_of(error) == ["memory.occurred_until"]


@served
async def test_items_of_a_batch_succeed_and_fail_alone_in_their_order(ingest: Ingest) -> None:
    await ingest.create(1)
    ingest.store.refused.add("odd")
    results = await ingest.batch(
        creation(1, text="another"),
        creation(2, parent=""),
        creation(3, text=""),
        creation(4, parent="users/bruno"),
        creation(5, text="odd"),
        creation(2, parent=""),
        creation(2, text="two bodies"),
        creation(1),
        creation(0),
    )
    assert [result.error.reason for result in results] == [
        "MEMORY_EXISTS",
        "",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "STORE_REFUSED",
        "",
        "MEMORY_EXISTS",
        "",
        "",
    ]
    assert [violation.field for violation in results[2].error.field_violations] == ["memory.text"]
    assert [violation.field for violation in results[3].error.field_violations] == ["parent"]
    stored = await ingest.read(name_of(2))
    for receipt in (results[1].memory, results[5].memory):
        assert (receipt.name, receipt.revision, receipt.etag) == (stored.name, stored.revision, stored.etag)
    assert results[7].memory.revision == 1
    assert results[8].memory.name.endswith(str(derived_id("r1", NOW_MS, 8)))


@served
async def test_a_repeated_batch_asks_for_revisions_and_not_for_memories(ingest: Ingest) -> None:
    first = await ingest.batch(creation(1), creation(2))
    assert await ingest.batch(creation(1), creation(2)) == first
    await ingest.create(1)
    assert [batch.without_memories for batch in ingest.store.batches] == [True, True, False]


@served
async def test_the_token_of_a_batch_covers_all_of_it(ingest: Ingest) -> None:
    await ingest.batch(*(creation(number) for number in range(1, 601)))
    token = TOKENS.parse_consistency(ingest.trailing["reverie-token"])
    owner = names.owner_of(TENANT, "ines")
    assert token.revision == ingest.store.revisions[owner.bytes] == len(ingest.store.batches)
    assert max(row.memory.revision for row in ingest.store.rows.values() if row.memory) == token.revision


@served
async def test_a_batch_of_none_or_too_many_is_refused_as_a_whole(ingest: Ingest) -> None:
    for requests in ((), [creation()] * 1001):
        assert fields_of(await refused(InvalidArgument, ingest.batch(*requests))) == ["requests"]
    empty = ingest_pb2.BatchCreateMemoriesRequest(parent="ines")
    error = await refused(InvalidArgument, ingest.call("BatchCreateMemories", empty))
    assert fields_of(error) == ["parent", "requests"]


@served
async def test_a_batch_that_is_too_large_is_refused_as_a_whole(ingest: Ingest) -> None:
    large = [creation(number, text="x" * 32_768) for number in range(1, 2 + MAX_BATCH_BYTES // 32_768)]
    await refused(TooLarge, ingest.batch(*large))
    assert ingest.store.batches == []


@served
async def test_a_batch_of_which_nothing_was_taken_fails_as_a_whole(ingest: Ingest) -> None:
    ingest.store.failures = [StoreDown()]
    await refused(StoreDown, ingest.batch(creation(1), creation(2)))


@served
async def test_a_batch_whose_turn_never_came_fails_as_a_whole(ingest: Ingest) -> None:
    ingest.store.failures = [UnknownOutcome()] * 1000
    before = asyncio.ensure_future(ingest.batch(creation(1), left=9.0))
    await asyncio.sleep(0.1)
    await refused(DeadlineTooShort, ingest.batch(creation(2), creation(3), left=1.0))
    await before


@served
async def test_items_in_doubt_are_told_one_by_one(ingest: Ingest) -> None:
    ingest.store.failures = [UnknownOutcome()] * 1000
    results = await ingest.batch(creation(1), creation(2, text=""), left=2.0)
    assert [result.error.reason for result in results] == ["UNKNOWN_OUTCOME", "INVALID_ARGUMENT"]


def test_a_batch_without_room_is_refused_as_a_whole() -> None:
    async def main() -> None:
        ingest = Ingest(queue_rows=10)
        async with ingest.batcher:
            await refused(Overloaded, ingest.batch(*(creation(number) for number in range(1, 12))))
        assert ingest.store.batches == []

    run(main())


def test_whoever_may_act_for_all_users_writes_for_each_in_one_batch() -> None:
    async def main() -> None:
        ingest = Ingest(ANYONE)
        async with ingest.batcher:
            await asyncio.gather(
                *(ingest.call("CreateMemory", creation(1, parent=f"users/u{number}")) for number in range(20))
            )
        assert len(ingest.store.rows) == 20
        assert [len(batch.owners) for batch in ingest.store.batches] == [20]

    run(main())
