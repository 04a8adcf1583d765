"""What a caller is told when the database fails it, and what is then true."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from ops.local.postgres import DATABASE
from reverie.storage.v1 import write_pb2
from services.runtime.errors import DeadlineTooShort, StalePrimary, StoreDown, UnknownOutcome
from services.runtime.tokens import ConsistencyToken
from services.storage.analysis import Patience
from services.storage.database import Address, Database
from tests.stack.servers import Server, scratch, started, until
from tests.stack.storage.harness import Storage, create, memory, owner_of
from tests.stack.storage.relay import Relay

WRITTEN = write_pb2.WRITE_STATUS_WRITTEN
ALREADY_THERE = write_pb2.WRITE_STATUS_ALREADY_THERE


@pytest_asyncio.fixture
async def relay(address: Address) -> AsyncIterator[Relay]:
    async with Relay.before(address.socket) as relay:
        yield relay


@pytest_asyncio.fixture
async def relayed(relay: Relay, address: Address) -> AsyncIterator[Storage]:
    """Storage behind the relay, connected."""
    behind = Address(relay.directory, address.name, address.secrets)
    async with Database.opened(behind) as database:
        storage = Storage(database)
        await storage.written(create("warm up"))
        yield storage


@pytest_asyncio.fixture(scope="module")
async def own_server() -> AsyncIterator[Server]:
    """A server that a test may kill or configure."""
    with scratch() as home:
        server = await started(home)
        yield server
        server.stop()


async def test_a_commit_whose_answer_is_lost_is_unknown_and_repeats_as_the_first(
    relay: Relay, relayed: Storage, storage: Storage
) -> None:
    one = create("ana", memory("written, but nobody heard"))
    relay.cut_next_answer = True
    with pytest.raises(UnknownOutcome):
        await relayed.write(one)
    assert relay.cuts == 1
    first = await storage.get("ana", one.id)
    again = await relayed.write(one)
    assert [result.status for result in again.results] == [ALREADY_THERE]
    assert again.results[0].memory.create_time == first.create_time
    assert again.results[0].revision == first.revision
    ((count,),) = await storage.sql("SELECT count(*) FROM memories WHERE owner = $1", owner_of("ana"))
    assert count == 1


async def test_a_database_that_hangs_costs_the_deadline_and_no_more(relay: Relay, relayed: Storage) -> None:
    one = create("ana")
    relay.hold_answers = True
    with pytest.raises(UnknownOutcome):
        await relayed.write(one, seconds=0.2)
    assert relay.held
    relay.hold_answers = False
    again = await relayed.write(one)
    assert again.results[0].status in {WRITTEN, ALREADY_THERE}


async def test_a_caller_that_goes_away_does_not_cut_a_commit_short(
    relayed: Storage, storage: Storage
) -> None:
    one = create("ana")
    caller = asyncio.ensure_future(relayed.write(one))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await relayed.writes.finished()
    assert await storage.get("ana", one.id)


async def test_a_worker_that_goes_away_leaves_no_connection_that_is_busy(
    relay: Relay, relayed: Storage
) -> None:
    await relayed.written(create("ana"))
    await relayed.claim()
    relay.hold_answers = True
    worker = asyncio.ensure_future(relayed.claim())

    async def held() -> bool:
        return bool(relay.held)

    await until(held, "the database has answered the claim")
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    relay.hold_answers = False
    await relayed.written(create("ana"))
    assert len(await relayed.claim()) == 1


async def test_no_write_begins_without_time_for_it(storage: Storage) -> None:
    with pytest.raises(DeadlineTooShort):
        await storage.write(create("ana"), seconds=0.001)


async def test_without_a_database_nothing_is_written_and_that_is_said(address: Address) -> None:
    nowhere = Address(address.socket / "nowhere", address.name, address.secrets)
    async with Database.opened(nowhere) as database:
        storage = Storage(database)
        with pytest.raises(StoreDown):
            await storage.write(create("ana"))
        with pytest.raises(StoreDown):
            await storage.timeline("ana")


async def test_every_acknowledged_write_survives_kill_9_of_the_database(own_server: Server) -> None:
    address = Address(own_server.socket, DATABASE, own_server.secrets)
    acknowledged = []
    async with Database.opened(address) as database:
        storage = Storage(database)

        async def writer(user: str) -> None:
            while True:
                one = create(user)
                try:
                    await storage.written(one)
                except (StoreDown, UnknownOutcome):
                    return
                acknowledged.append(one)

        writers = [asyncio.ensure_future(writer(f"user{number}")) for number in range(4)]

        async def enough() -> bool:
            return len(acknowledged) > 200

        await until(enough, "200 writes are acknowledged", every=0.005)
        own_server.kill()
        await asyncio.gather(*writers)
        await own_server.start()
        rows = await storage.sql("SELECT id FROM memories")
    assert {one.id for one in acknowledged} <= {row[0] for row in rows}


async def cut_short(server: Server, commit: Callable[[], Awaitable[object]]) -> None:
    """Cancels a commit that waits for a replica: the database calls that a success, and warns."""
    first, looking = await server.connect(), await server.connect()
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    async def commits() -> None:
        while True:
            await first.execute("SELECT pg_logical_emit_message(true, '', '')")

    async def waits(number: int) -> bool:
        return len(await looking.fetch(waiting)) == number

    await server.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (nobody)'")
    await server.execute("SELECT pg_reload_conf()")
    try:
        committing = asyncio.ensure_future(commits())
        await until(lambda: waits(1), "the configuration is loaded")
        working = asyncio.ensure_future(commit())
        await until(lambda: waits(2), "the commit waits for a replica")
        await looking.execute(waiting.replace("pid", "pg_cancel_backend(pid)", 1))
        with pytest.raises(UnknownOutcome):
            await working
    finally:
        first.terminate()
        await asyncio.wait((committing,))
        await server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await server.execute("SELECT pg_reload_conf()")
        await looking.close()


@pytest.mark.parametrize("what", ["write", "claim", "attach", "fail", "replay"])
async def test_a_commit_that_did_not_wait_for_its_replica_is_unknown(own_server: Server, what: str) -> None:
    """The row would be gone after a failover."""
    async with Database.opened(Address(own_server.socket, DATABASE, own_server.secrets)) as database:
        storage = Storage(database, Patience(max_attempts=1))
        await storage.written(*(create(what) for _ in range(3)))
        owner = owner_of(what).bytes
        due = [one for one in await storage.claim() if one.key.owner == owner]
        await storage.fail(due[0])
        await storage.written(create(what))
        commits: dict[str, Callable[[], Awaitable[object]]] = {
            "write": lambda: storage.write(create(what)),
            "claim": storage.claim,
            "attach": lambda: storage.attach(due[1]),
            "fail": lambda: storage.fail(due[2]),
            "replay": lambda: storage.replay(all=True),
        }
        await cut_short(own_server, commits[what])


async def test_a_primary_that_became_a_replica_says_so() -> None:
    with scratch() as home:
        server = await started(home)
        async with Database.opened(Address(server.socket, DATABASE, server.secrets)) as database:
            storage = Storage(database)
            one = create("ana")
            written = await storage.write(one)
            token = ConsistencyToken(written.lineage, owner_of("ana"), written.owner_revisions[0])
            later = token._replace(revision=token.revision + 1)
            server.stop()
            (home / "data" / "postgres" / "standby.signal").touch()
            await server.start(replica=True)
            assert await storage.get("ana", one.id, storage.tokens.consistency(token))
            with pytest.raises(StalePrimary):
                await storage.get("ana", one.id, storage.tokens.consistency(later))
            with pytest.raises(StoreDown):
                await storage.write(create("ana"))
            with pytest.raises(StoreDown):
                await storage.claim()
        server.stop()


async def test_a_statement_ends_when_whoever_asked_is_gone(own_server: Server) -> None:
    asking, looking = await own_server.connect(), await own_server.connect()
    sleeping = asyncio.ensure_future(asking.execute("SELECT pg_sleep(600)"))
    running = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> $1"

    async def runs() -> bool:
        return bool(await looking.fetch(running, looking.get_server_pid()))

    async def ended() -> bool:
        return not await runs()

    await until(runs, "it sleeps")
    asking.terminate()
    await asyncio.wait((sleeping,))
    await until(ended, "it is ended", seconds=10)
    await looking.close()
