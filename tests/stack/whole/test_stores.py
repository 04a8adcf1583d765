"""The database is away; Valkey is away, or flushed; a memory is poisonous."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import grpc
import pytest
import pytest_asyncio

import reverie_client
from mesh import topology
from ops.local import identity
from ops.local.embedders import Embedder
from ops.local.plan import POSTGRES, VALKEY, Options, instance_id, stores
from ops.local.platform import Platform
from ops.local.processes import Plan
from ops.local.valkey_cluster import HOST
from reverie_client import NO_RETRY, Ids, NewMemory, RetryPolicy, User, methods
from reverie_client.errors import StoreDown
from services.runtime.valkey import connect
from services.storage.client import HINT_STREAM
from tests.stack.cli.command import Command
from tests.stack.servers import until
from tests.stack.whole import calls
from tests.stack.whole.analysis import all_analysed, let_time_pass
from tests.stack.whole.wire import Wire, bearer

ANALYSE = instance_id("analyse")
ATTEMPTS = 5
BACKLOG = 60
POISON = "belladonna"
_SAID = "this memory can't be embedded"


@asynccontextmanager
async def connected(platform: Platform, user: str, retry: RetryPolicy | None = None) -> AsyncIterator[User]:
    endpoint, token = platform.endpoint, platform.token(user=user)
    async with reverie_client.connect(endpoint.public, ca=endpoint.ca, token=token, retry=retry) as reverie:
        yield reverie.user(user)


@pytest_asyncio.fixture
async def somebody(platform: Platform, user: str) -> AsyncIterator[User]:
    """Somebody with the client's ordinary retries."""
    async with connected(platform, user) as one:
        yield one


@asynccontextmanager
async def without(platform: Platform, name: str) -> AsyncIterator[None]:
    """A while in which a process does not run."""
    await platform.stop_process(name)
    try:
        yield
    finally:
        if name not in platform.processes():
            await platform.start_process(name)


@contextmanager
def frozen(platform: Platform, name: str) -> Iterator[None]:
    """A while in which a process does nothing and loses nothing."""
    platform.freeze(name)
    try:
        yield
    finally:
        platform.thaw(name)


def notes(count: int) -> list[NewMemory]:
    return [NewMemory(f"Note {number} about the harbour.", calls.THEN) for number in range(count)]


# The database


async def test_without_the_database_every_call_is_refused_soon_and_nothing_is_acknowledged(
    platform: Platform, public: Wire, user: str
) -> None:
    token = bearer(platform.token(user=user))
    await public.call(*calls.create(user), token)
    refused: dict[UUID, str] = {}
    async with without(platform, POSTGRES):
        for what, call in calls.public_calls(user, Ids().mint()).items():
            error = await public.refusal(*call, token)
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_DOWN"), what
        for _ in range(10):
            id_ = Ids().mint()
            refused[id_] = (await public.refusal(*calls.create(user, id_), token)).reason
        await is_checked_before_any_look_up(platform, public, user)
    assert set(refused.values()) == {"STORE_DOWN"}
    for id_ in refused:
        # It was said that nothing was written.
        absent = await public.refusal(*calls.about(user, id_, calls.SOME_ETAG)["get"], token)
        assert absent.reason == "MEMORY_NOT_FOUND"
        await public.call(*calls.create(user, id_), token)


async def is_checked_before_any_look_up(platform: Platform, public: Wire, user: str) -> None:
    """Nobody needs the database to be told that they may not, or that a field is broken."""
    other = bearer(platform.token(user="somebody-else"))
    for what, call in calls.public_calls(user, Ids().mint()).items():
        assert (await public.refusal(*call, other)).reason == "USER_FORBIDDEN", what
    mine = bearer(platform.token(user=user))
    assert (await public.refusal(*calls.create(user, text=""), mine)).reason == "INVALID_ARGUMENT"


async def test_who_waits_for_the_database_gets_through_when_it_is_back(
    platform: Platform, somebody: User
) -> None:
    id_ = Ids().mint()
    async with without(platform, POSTGRES):
        waiting = asyncio.create_task(somebody.create("Still here.", id=id_, occurred_at=calls.THEN))
        reading = asyncio.create_task(somebody.timeline().page())
        async with connected(platform, somebody.user_id, NO_RETRY) as hasty:
            with pytest.raises(StoreDown):
                await hasty.get(id_)
        await platform.start_process(POSTGRES)
        assert (await waiting).id == id_
        await reading
    assert (await somebody.get(id_)).text == "Still here."


# Valkey


async def test_while_valkey_is_away_writes_reads_and_analysis_go_on(platform: Platform, user: str) -> None:
    async with connected(platform, user, NO_RETRY) as hasty, without(platform, VALKEY):
        made = [await hasty.create(f"Note {number} of the tide.") for number in range(10)]
        assert (await hasty.get(made[0])).text == made[0].text
        assert len(await hasty.timeline()) == 10
        assert {hit.memory.id for hit in await hasty.search("tide")} == {memory.id for memory in made}
        await all_analysed(hasty)


async def test_a_backlog_is_analysed_though_valkey_was_flushed(platform: Platform, somebody: User) -> None:
    await all_analysed(somebody)
    with frozen(platform, ANALYSE):
        outcomes = await somebody.create_batch(notes(BACKLOG))
        assert all(outcome.created for outcome in outcomes)
        _, (node,) = stores(platform.home)
        async with connect(f"{HOST}:{node.place.port}", node.password_file) as redis:

            async def is_hinted() -> bool:
                return bool(await redis.exists(HINT_STREAM))

            await until(is_hinted, "a hint of the backlog is in Valkey")
            await redis.flushall()
        assert (await somebody.analysis_state()).due > 0
    await all_analysed(somebody)


# A poisonous memory


@asynccontextmanager
async def poisoned(platform: Platform) -> AsyncIterator[None]:
    """A while in which another worker stands in the place of ours, with the environment of ours."""
    async with without(platform, ANALYSE):
        process = _start_poisoned(platform)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)
    assert process.returncode == 0


def _start_poisoned(platform: Platform) -> "subprocess.Popen[bytes]":
    program, home = Path(__file__).with_name("poisoned_analyse.py"), platform.home
    options = Options(embedder=Embedder.STATIC)
    processes = Plan(home, options, topology.load(home.topology), *stores(home)).processes()
    (worker,) = (spec for spec in processes if spec.name == ANALYSE)
    with home.log_of("poisoned").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(program), POISON], env={**os.environ, **worker.env}, stdout=log, stderr=log
        )


async def test_a_memory_that_fails_for_good_ends_in_the_dead_letters_and_a_replay_heals_it(
    platform: Platform, somebody: User
) -> None:
    reverie = Command(platform.home.root)
    async with poisoned(platform):
        await somebody.create_batch(notes(5))
        poison = await somebody.create(f"Grandmother grew {POISON} behind the shed.")

        async def is_dead() -> bool:
            # Between two attempts there are seconds, then minutes.
            await let_time_pass(platform)
            return (await somebody.analysis_state()).dead == 1

        await until(is_dead, "the poison is given up")
        assert (await somebody.analysis_state()).due == 0
    await platform.wait_healthy()

    owner = f"tenants/{platform.endpoint.tenant}/users/{somebody.user_id}"
    (letter,) = (await reverie.json("dlq", "list"))["dead_letters"]
    assert letter["name"].startswith(f"{owner}/memories/{poison.id}/analyses/embed.")
    assert (letter["attempts"], letter["first_error"], letter["last_error"]) == (ATTEMPTS, _SAID, _SAID)
    assert POISON not in str(letter)
    assert (await somebody.get(poison)).analysis == ()
    assert [hit.memory.id for hit in await somebody.search(POISON, limit=1)] == [poison.id]

    assert await reverie.json("dlq", "replay", letter["name"]) == {"replayed": 1}
    await all_analysed(somebody)
    assert [result.stage for result in (await somebody.get(poison)).analysis] == ["embed"]
    assert (await reverie.json("dlq", "list"))["dead_letters"] == []


async def test_a_replay_of_what_is_not_dead_does_nothing(platform: Platform, operator: Wire) -> None:
    metadata = bearer(platform.token(scopes=[identity.OPERATOR]))
    request = methods.REPLAY.request(all=True)
    assert (await operator.call(methods.REPLAY, request, metadata)).replayed == 0
