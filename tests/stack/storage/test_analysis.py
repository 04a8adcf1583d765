"""Promises of the queue of analysis, against the real database."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from reverie.storage.v1 import admin_pb2, analysis_pb2
from services.runtime.errors import InvalidArgument, TokenInvalid
from services.storage.analysis import Patience
from services.storage.batch import Batch
from services.storage.database import Database
from services.storage.migrate import use_model
from services.storage.queries import text
from tests.stack.servers import Server, until
from tests.stack.storage.harness import (
    MODEL,
    STAGE,
    TENANT,
    VECTOR,
    Context,
    Storage,
    batch,
    context,
    create,
    delete,
    memory,
    owner_of,
    update,
)

IMPATIENT = Patience(max_attempts=2, first_backoff=timedelta(), longest_backoff=timedelta())
NO_LEASE = {"nanos": 1_000}
"""A lease that is over when the next statement begins."""

Due = Sequence[analysis_pb2.DueAnalysis]


def texts(due: Due) -> list[str]:
    return [one.text for one in due]


async def count(storage: Storage, table: str) -> int:
    ((rows,),) = await storage.sql(f"SELECT count(*) FROM {table}")
    return int(rows)


async def test_a_write_is_due_once_and_a_claim_holds_for_its_lease(storage: Storage) -> None:
    await storage.written(create("ana", memory("read me", language="en")))
    (due,) = await storage.claim()
    assert (due.text, due.language, due.attempt) == ("read me", "en", 1)
    assert not await storage.claim()


async def test_what_a_dead_worker_held_comes_back_as_another_attempt(storage: Storage) -> None:
    await storage.written(create("ana"))
    await storage.claim(lease=NO_LEASE)
    (due,) = await storage.claim()
    assert due.attempt == 2


async def test_an_attached_result_ends_the_work_and_raises_the_owner_alone(storage: Storage) -> None:
    one = create("ana")
    (revision,) = await storage.written(one)
    (due,) = await storage.claim()
    assert await storage.attach(due) == 1
    assert await count(storage, "analysis_due") == 0
    assert await count(storage, "embeddings") == 1
    assert (await storage.get("ana", one.id)).revision == revision
    ((owner_revision,),) = await storage.sql("SELECT revision FROM owners")
    assert owner_revision > revision


async def test_a_result_attached_twice_counts_once(storage: Storage) -> None:
    await storage.written(create("ana"))
    (due,) = await storage.claim()
    assert [await storage.attach(due), await storage.attach(due)] == [1, 0]
    assert await count(storage, "embeddings") == 1


async def test_results_of_many_owners_are_attached_in_one_call_and_each_owner_moves_on(
    storage: Storage,
) -> None:
    users = ("ana", "ben", "cleo")
    before = dict(zip(users, await storage.written(*(create(user) for user in users)), strict=True))
    assert await storage.attach(*await storage.claim()) == 3
    assert await count(storage, "analysis_due") == 0
    kept = {row[0]: row[1] for row in await storage.sql("SELECT owner, revision FROM embeddings")}
    now = {row[0]: row[1] for row in await storage.sql("SELECT owner, revision FROM owners")}
    assert kept == now
    assert all(now[owner_of(user)] > before[user] for user in users)


async def test_what_went_wrong_for_one_result_says_nothing_of_the_others(storage: Storage) -> None:
    erased, old = create("ben"), create("cleo")
    _, _, revision = await storage.written(create("ana"), erased, old)
    claimed = await storage.claim()
    await storage.sql("UPDATE owners SET erase_time = now() WHERE owner = $1", owner_of("ben"))
    await storage.written(update("cleo", old.id, revision, memory("new")))
    assert await storage.attach(*claimed) == 1
    assert [owner for (owner,) in await storage.sql("SELECT owner FROM embeddings")] == [owner_of("ana")]


async def test_who_is_being_written_to_makes_no_other_owner_wait(storage: Storage) -> None:
    await storage.written(create("ana"), create("ben"))
    claimed = await storage.claim()
    async with storage.database.write.acquired() as writing, writing.transaction():
        await writing.fetch(text("write_batch"), *Batch.of(batch(create("ben"))).arguments())
        attaching = asyncio.ensure_future(storage.attach(*claimed))

        async def anas() -> bool:
            return await count(storage, "embeddings") == 1

        await until(anas, "ana's result is there")
        await storage.written(create("ana"))
        assert not attaching.done()
    assert await attaching == 2


async def test_workers_of_an_earlier_version_name_the_owner_once(storage: Storage) -> None:
    await storage.written(create("ana"), create("ana"))
    due = await storage.claim()
    results = [
        analysis_pb2.StageResult(id=one.key.id, memory_revision=one.memory_revision, vector=VECTOR)
        for one in due
    ]
    request = analysis_pb2.AttachResultsRequest(
        owner=due[0].key.owner, stage=STAGE, model=MODEL, results=results
    )
    assert (await storage.analysis.AttachResults(request, context(Context()))).attached == 2


async def test_a_result_of_nobody_is_refused_by_its_place(storage: Storage) -> None:
    await storage.written(create("ana"))
    (due,) = await storage.claim()
    due.key.owner = b""
    with pytest.raises(InvalidArgument, match=r"results\[0\]\.owner"):
        await storage.attach(due)


async def test_a_result_for_content_that_moved_on_is_dropped(storage: Storage) -> None:
    one = create("ana", memory("old"))
    (revision,) = await storage.written(one)
    (old,) = await storage.claim()
    await storage.written(update("ana", one.id, revision, memory("new")))
    assert await storage.attach(old) == 0
    assert await count(storage, "embeddings") == 0
    (new,) = await storage.claim()
    assert (new.text, new.attempt) == ("new", 1)
    assert await storage.attach(new) == 1


async def test_a_result_for_a_deleted_memory_is_dropped(storage: Storage) -> None:
    one = create("ana")
    await storage.written(one)
    (due,) = await storage.claim()
    await storage.written(delete("ana", one.id))
    assert await storage.attach(due) == 0
    assert await count(storage, "embeddings") == await count(storage, "analysis_due") == 0


@pytest.mark.parametrize("change", ["update", "delete"])
async def test_a_change_clears_what_every_model_and_stage_found(
    storage: Storage, postgres: Server, change: str
) -> None:
    one, other = create("ana"), create("ana")
    (revision, _) = await storage.written(one, other)
    connection = await postgres.connect(database=await database_name(storage))
    for id_ in (one.id, other.id):
        await connection.execute(
            "INSERT INTO embeddings SELECT $1, $2, 1, m, '[1,2]' FROM unnest('{1,2,77}'::int[]) m",
            owner_of("ana"), id_,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO analysis_results VALUES ($1, $2, 1, 9, 9, '{}')", owner_of("ana"), id_
        )
        await connection.execute(
            "INSERT INTO analysis_due (owner, id, stage, model, memory_revision, dead_at) "
            "VALUES ($1, $2, 1, 2, 1, now())",
            owner_of("ana"), id_,
        )  # fmt: skip
    await connection.close()
    changed = update("ana", one.id, revision, memory("new")) if change == "update" else delete("ana", one.id)
    (now,) = await storage.written(changed)
    for table, rows in (("embeddings", 3), ("analysis_results", 1)):
        left = await storage.sql(f"SELECT id FROM {table}")
        assert [id_ for (id_,) in left] == [other.id] * rows
    due = await storage.sql(
        "SELECT model, memory_revision, dead_at IS NULL FROM analysis_due WHERE id = $1 ORDER BY model",
        one.id,
    )
    assert [tuple(row) for row in due] == ([(1, now, True), (2, now, True)] if change == "update" else [])


async def database_name(storage: Storage) -> str:
    ((name,),) = await storage.sql("SELECT current_database()")
    return str(name)


async def test_hinted_memories_come_first(storage: Storage) -> None:
    made = [create("ana", memory(str(at))) for at in range(10)]
    await storage.written(*made)
    due = await storage.claim(limit=2, hints=[(owner_of("ana"), made[at].id) for at in (7, 8)])
    assert sorted(texts(due)) == ["7", "8"]


async def test_an_import_does_not_make_others_wait(storage: Storage) -> None:
    await storage.written(*(create("importer", memory("bulk")) for _ in range(300)))
    for user in ("ana", "ben", "cleo"):
        await storage.written(create(user, memory(f"of {user}")))
    due = await storage.claim(limit=64)
    assert {"of ana", "of ben", "of cleo"} <= set(texts(due))
    assert len(due) == 64


async def test_failures_come_back_and_end_as_dead_letters_with_their_cause(database: Database) -> None:
    storage = Storage(database, IMPATIENT)
    one = create("ana", memory("poison"))
    await storage.written(one)
    (first,) = await storage.claim()
    assert await storage.fail(first, error="the first") == 0
    (second,) = await storage.claim()
    assert await storage.fail(second, error="the last") == 1
    assert not await storage.claim()
    (letter,) = (await storage.dead_letters()).dead_letters
    assert (letter.attempts, letter.first_error, letter.last_error) == (2, "the first", "the last")
    assert letter.name == f"tenants/{TENANT}/users/ana/memories/{one.id}/analyses/embed.1"


async def test_what_kills_its_worker_ends_as_a_dead_letter_too(database: Database) -> None:
    storage = Storage(database, IMPATIENT)
    await storage.written(create("ana"), create("ben", memory("harmless")))
    (harmless,) = [due for due in await storage.claim(lease=NO_LEASE) if due.text == "harmless"]
    await storage.attach(harmless)
    assert len(await storage.claim(lease=NO_LEASE)) == 1
    assert not await storage.claim(lease=NO_LEASE)
    (letter,) = (await storage.dead_letters()).dead_letters
    assert letter.attempts == 2
    assert "without a report" in letter.first_error


async def test_a_replayed_letter_starts_from_nothing_and_is_hinted(database: Database) -> None:
    storage = Storage(database, IMPATIENT)
    one = create("ana", memory("poison"))
    await storage.written(one)
    for _ in range(2):
        await storage.fail(*await storage.claim())
    storage.hints.keys.clear()
    (letter,) = (await storage.dead_letters()).dead_letters
    assert await storage.replay(names=[letter.name]) == 1
    assert await storage.replay(names=[letter.name]) == 0
    assert storage.hints.keys == [(owner_of("ana"), one.id)]
    (due,) = await storage.claim()
    assert due.attempt == 1
    assert await storage.attach(due) == 1


async def test_all_letters_of_many_owners_are_replayed_at_once(database: Database) -> None:
    storage = Storage(database, Patience(max_attempts=1))
    await storage.written(*(create(f"user{at % 7}") for at in range(60)))
    assert await storage.fail(*await storage.claim()) == 60
    assert await storage.replay(all=True) == 60
    assert len(await storage.claim()) == 60


async def test_dead_letters_come_in_pages_the_newest_first(database: Database) -> None:
    storage = Storage(database, Patience(max_attempts=1))
    await storage.written(*(create(user) for user in ("ana", "ben") for _ in range(5)))
    for due in await storage.claim():
        await storage.fail(due, error="broken")
    names: list[str] = []
    token = ""
    while not names or token:
        page = await storage.dead_letters(page_size=4, page_token=token)
        names += [letter.name for letter in page.dead_letters]
        token = page.next_page_token
    assert len(names) == len(set(names)) == 10
    died = [letter.dead_time.ToMicroseconds() for letter in (await storage.dead_letters()).dead_letters]
    assert died == sorted(died, reverse=True)
    of_ana = await storage.dead_letters(owner=f"tenants/{TENANT}/users/ana", page_size=3)
    assert all("/users/ana/" in letter.name for letter in of_ana.dead_letters)
    with pytest.raises(TokenInvalid):
        await storage.dead_letters(page_token=of_ana.next_page_token)


async def test_a_failure_in_an_old_state_says_nothing_of_the_new_one(database: Database) -> None:
    storage = Storage(database, IMPATIENT)
    one = create("ana")
    (revision,) = await storage.written(one)
    (old,) = await storage.claim()
    await storage.written(update("ana", one.id, revision, memory("new")))
    assert await storage.fail(old) == 0
    (due,) = await storage.claim()
    assert due.attempt == 1


async def test_the_queue_is_counted(database: Database) -> None:
    storage = Storage(database, Patience(max_attempts=1))
    await storage.written(*(create("ana") for _ in range(5)))
    claimed = await storage.claim(limit=3)
    await storage.fail(claimed[0])
    await storage.attach(claimed[1])
    stats = await storage.admin.GetQueueStats(admin_pb2.GetQueueStatsRequest(), context(Context()))
    (stage,) = stats.stages
    assert (stage.stage, stage.model, stage.ready, stage.waiting, stage.dead) == ("embed", 1, 2, 1, 1)
    assert (stats.due, stats.dead) == (3, 1)
    assert timedelta() < stats.oldest_due_age.ToTimedelta() < timedelta(minutes=5)


async def test_an_empty_queue_has_no_age(storage: Storage) -> None:
    stats = await storage.admin.GetQueueStats(admin_pb2.GetQueueStatsRequest(), context(Context()))
    assert stats == admin_pb2.GetQueueStatsResponse()


async def test_what_was_due_for_too_long_is_overdue(database: Database) -> None:
    storage = Storage(database, Patience(overdue=timedelta()))
    one, two = create("ana"), create("ana")
    await storage.written(one, two)
    await storage.claim(limit=1, hints=[(owner_of("ana"), one.id)])
    assert await storage.analysis.overdue() == [(owner_of("ana"), two.id)]


async def test_another_model_makes_everything_due_that_it_has_not_seen(
    storage: Storage, postgres: Server
) -> None:
    await storage.written(create("ana"), create("ben"))
    await storage.attach((await storage.claim(limit=1))[0])
    connection = await postgres.connect("migrate", await database_name(storage))
    try:
        assert await use_model(connection, 2) == 2
        assert await use_model(connection, 2) == 0
        await storage.written(create("cleo"))
        due = await storage.sql("SELECT DISTINCT model FROM analysis_due")
        assert [model for (model,) in due] == [2]
        assert await use_model(connection, 1) == 2  # the first vector is still there
    finally:
        await connection.close()


async def test_another_model_misses_no_memory_that_is_being_written(
    storage: Storage, postgres: Server
) -> None:
    one = create("new")
    name = await database_name(storage)
    connection, looking = await postgres.connect("migrate", name), await postgres.connect("migrate", name)
    try:
        async with storage.database.write.acquired() as writing, writing.transaction():
            await writing.fetch(text("write_batch"), *Batch.of(batch(one)).arguments())
            changing = asyncio.ensure_future(use_model(connection, 2))

            async def waits() -> bool:
                asked = "SELECT FROM pg_stat_activity WHERE datname = $1 AND query LIKE '-- older_ended%'"
                return bool(await looking.fetch(asked, name))

            await until(waits, "it waits for what is being written")
            assert not changing.done()
        assert await changing == 1
        assert await storage.sql("SELECT id, model FROM analysis_due") == [(one.id, 2)]
    finally:
        await connection.close()
        await looking.close()


async def test_dropping_segments_names_whose(storage: Storage) -> None:
    for owner in ("", f"tenants/{TENANT}/users/ana"):
        request = admin_pb2.DropSegmentsRequest(owner=owner)
        answer = await storage.admin.DropSegments(request, context(Context()))
        assert (answer.dropped, answer.bytes) == (2, 300)
    assert storage.segments.dropped == [None, owner_of("ana")]


@pytest.mark.parametrize("vector", [VECTOR[:-4], b"\0\0\x80\x7f" + VECTOR[4:], b"\0\0\xc0\x7f" + VECTOR[4:]])
async def test_vectors_of_another_length_or_not_finite_are_refused(storage: Storage, vector: bytes) -> None:
    await storage.written(create("ana"))
    (due,) = await storage.claim()
    with pytest.raises(InvalidArgument):
        await storage.attach(due, vector=vector)


async def test_unknown_stages_and_models_are_refused(storage: Storage) -> None:
    for stage, model in (("dream", 1), (STAGE, 77)):
        request = analysis_pb2.ClaimDueRequest(stage=stage, model=model, limit=1)
        with pytest.raises(InvalidArgument):
            await storage.analysis.ClaimDue(request, context(Context()))
