"""What a call is told when all connections are busy, and what goes on all the same."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from reverie.storage.v1 import search_pb2
from services.runtime.errors import Overloaded, StalePrimary, StoreDown
from services.runtime.tokens import ConsistencyToken
from services.storage import database as databases
from services.storage.database import Address, Database, PoolSizes
from services.storage.search import SearchService
from services.storage.segments import SegmentCache, Segments
from tests.stack.servers import Server, until
from tests.stack.storage.harness import Context, Storage, batch, context, create, enter, owner_of

SMALL = PoolSizes(read=1, search=2, write=1, bulk=1, analysis=1, admin=1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "ACQUIRE_SECONDS", 0.2)


async def test_busy_connections_are_no_dead_database(address: Address) -> None:
    async with Database.opened(address, SMALL) as database:
        storage = Storage(database)
        await storage.written(create("ana"))
        async with database.write.acquired(), database.read.acquired():
            with pytest.raises(Overloaded) as refused:
                await storage.write(create("ana"))
            assert refused.value.retry_delay
            with pytest.raises(Overloaded):
                await storage.timeline("ana")
        await storage.written(create("ana"))


async def test_batches_of_imports_and_single_writes_take_no_connection_of_each_other(
    address: Address,
) -> None:
    async with Database.opened(address, SMALL) as database:
        storage = Storage(database)
        imported = batch(create("ana"))
        imported.without_memories = True
        async with database.bulk.acquired():
            await storage.written(create("ana"))
            with pytest.raises(Overloaded):
                await storage.writes.WriteBatch(imported, context(Context()))
        async with database.write.acquired():
            await storage.writes.WriteBatch(imported, context(Context()))


async def test_only_so_many_wait_for_a_connection_and_the_next_is_told_at_once(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "WAITING", 3)
    async with Database.opened(address, SMALL) as database:
        async with database.read.acquired():
            waiting = [asyncio.ensure_future(database.read.fetch("SELECT 1")) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await database.read.fetch("SELECT 1")
            assert not any(one.done() for one in waiting)
        assert [len(await one) for one in waiting] == [1, 1, 1]
        assert len(await database.read.fetch("SELECT 1")) == 1


async def test_searches_take_no_connection_of_reads(address: Address) -> None:
    async with Database.opened(address, SMALL) as database, AsyncExitStack() as held:
        storage = Storage(database)
        await storage.written(create("ana"))
        for _ in range(SMALL.search):
            await held.enter_async_context(database.search.snapshot())
        assert len((await storage.timeline("ana")).memories) == 1


async def test_a_search_that_must_know_the_history_waits_for_no_other_search(address: Address) -> None:
    async with Database.opened(address, SMALL) as database, AsyncExitStack() as held:
        storage = Storage(database)
        written = await storage.write(create("ana"))
        await held.enter_async_context(database.search.snapshot())
        searches = SearchService(
            database.read, Segments(database.search, SegmentCache(1_000_000)), storage.tokens
        )
        later = ConsistencyToken(written.lineage, owner_of("ana"), written.owner_revisions[0] + 1)
        enter("ana", storage.tokens.consistency(later))
        with pytest.raises(StalePrimary):
            await searches.Search(
                search_pb2.SearchRequest(parent="users/ana", page_size=5), context(Context())
            )


async def test_a_connection_is_used_again_but_for_one_that_broke(postgres: Server, address: Address) -> None:
    async with Database.opened(address, SMALL) as database:
        first = await _backend(database)
        assert await _backend(database) == first
        await postgres.execute(f"SELECT pg_terminate_backend({first})")

        async def works() -> bool:
            with suppress(StoreDown):  # until the end of the connection has come in
                return await _backend(database) != first
            return False

        await until(works, "reads go on with another connection", seconds=10)


async def test_a_statement_that_is_given_up_is_in_nobody_s_way(postgres: Server, address: Address) -> None:
    async with Database.opened(address, SMALL) as database:
        sleeping = asyncio.ensure_future(database.read.fetch("SELECT pg_sleep(600)"))
        seer = await postgres.connect(database=address.name)

        async def sleeps() -> bool:
            seen = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
            return bool(await seer.fetch(seen))

        await until(sleeps, "the statement is under way")
        await seer.close()
        sleeping.cancel()
        await asyncio.gather(sleeping, return_exceptions=True)
        for _ in range(2):
            assert [*(await database.read.fetch("SELECT 7"))[0]] == [7]


async def _backend(database: Database) -> int:
    ((pid,),) = await database.read.fetch("SELECT pg_backend_pid()")
    return int(pid)
