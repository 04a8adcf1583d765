import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import reverie_client
from reverie_client import (
    Environment,
    Filter,
    Kind,
    NewMemory,
    Occurred,
    Place,
    Precision,
    Reverie,
    User,
    errors,
)
from reverie_client.operator import Operator
from services.runtime import errors as service_errors
from tests.stack.client.small_reverie import Served

NOWHERE = "unix:/nonexistent/reverie.sock"


@pytest.fixture
async def reverie(served: Served) -> AsyncIterator[Reverie]:
    async with reverie_client.connect(served.address, token="a-jwt", plaintext=True) as connection:
        yield connection


@pytest.fixture
def user(reverie: Reverie) -> User:
    return reverie.user("ines")


@asynccontextmanager
async def mutable_relay(target: str, path: Path) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to the target that stays open, but lets nothing more through once the event is set."""
    mute = asyncio.Event()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if not mute.is_set():
                sink.write(data)
        sink.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(target.removeprefix("unix:"))
        pumps.update(
            asyncio.create_task(pump(*ends)) for ends in ((reader, back_writer), (back_reader, writer))
        )

    server = await asyncio.start_unix_server(relay, path)
    yield f"unix:{path}", mute
    server.close()
    await asyncio.gather(*pumps)


async def test_a_memory_that_was_created_can_be_read_and_found(user: User) -> None:
    memory = await user.create(
        "Planted the lemon tree.",
        occurred_at=date(2025, 3, 9),
        kind=Kind.EVENT,
        place=Place("Garden", 38.7, -9.1),
        people=["Avó"],
    )
    assert memory.occurred == Occurred(datetime(2025, 3, 9, tzinfo=UTC), Precision.DAY)
    assert memory.id.version == 7
    assert await user.get(memory) == await user.get(memory.id) == await user.get(str(memory.id)) == memory
    hits = [hit async for hit in user.search("Where is the lemon tree?", explain=True)]
    assert [hit.memory for hit in hits] == [memory]
    assert hits[0].explanation is not None
    assert hits[0].explanation.words_score == 1.0


async def test_a_memory_without_a_time_happened_now(user: User) -> None:
    memory = await user.create("Just now.")
    assert abs(datetime.now(UTC) - memory.occurred_at) < timedelta(minutes=1)
    assert memory.occurred.precision is Precision.INSTANT


async def test_a_create_whose_answer_was_lost_is_made_again_with_the_same_id(
    user: User, served: Served
) -> None:
    served.reverie.failures = [service_errors.UnknownOutcome(), service_errors.UnknownOutcome()]
    served.reverie.fail_after_the_work = True
    memory = await user.create("Once.")
    assert len(served.reverie.metadata) == 3
    assert list(served.reverie.memories) == [memory.name]


async def test_the_token_of_a_write_goes_with_the_reads_after_it(user: User, served: Served) -> None:
    await user.create("Mine.")
    await user.timeline()
    created, listed = served.reverie.metadata
    assert created["authorization"] == "Bearer a-jwt"
    assert "reverie-token" not in created
    assert listed["reverie-token"] == "token-1" == user.consistency_token


async def test_another_program_continues_from_a_token(reverie: Reverie, served: Served) -> None:
    tomas = reverie.user("tomas")
    tomas.continue_from("from elsewhere")
    await tomas.timeline()
    assert served.reverie.metadata[-1]["reverie-token"] == "from elsewhere"


async def test_a_batch_has_an_outcome_for_each_memory(user: User) -> None:
    outcomes = await user.create_batch([NewMemory("one"), NewMemory(""), NewMemory("three")])
    assert [outcome.created is not None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, errors.InvalidArgument)
    assert outcomes[1].error.violations[0].field == "memory.text"
    found = await user.get_many([outcome.new.id for outcome in outcomes if outcome.new.id])
    assert [memory.text for memory in found.memories] == ["one", "three"]
    assert len(found.missing) == 1


async def test_memories_of_a_batch_that_met_what_passes_are_sent_again_with_their_ids(
    user: User, served: Served
) -> None:
    served.reverie.item_failures = {
        "two": [service_errors.StoreDown(), service_errors.UnknownOutcome()],
        "four": [service_errors.Overloaded()],
    }
    new = [NewMemory(text) for text in ("one", "two", "", "four")]
    outcomes = await user.create_batch(new)
    assert [outcome.new.text for outcome in outcomes] == ["one", "two", "", "four"]
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    assert all(outcome.created is None or outcome.created.id == outcome.new.id for outcome in outcomes)
    assert len(served.reverie.metadata) == 3
    assert len(served.reverie.memories) == 3


async def test_what_a_batch_could_not_send_again_in_time_has_the_error_it_ended_with(
    user: User, served: Served
) -> None:
    served.reverie.item_failures = {"two": [service_errors.StoreDown()] * 1000}
    outcomes = await user.create_batch(
        [NewMemory("one"), NewMemory("two")], within=timedelta(milliseconds=200)
    )
    assert outcomes[0].created is not None
    assert isinstance(outcomes[1].error, errors.StoreDown | errors.DeadlineExceeded)


async def test_a_round_that_fails_takes_nothing_from_the_memories_that_are_in(served: Served) -> None:
    async def meanwhile(_seconds: float) -> None:
        served.reverie.failures = [service_errors.UserForbidden()]

    served.reverie.item_failures = {"two": [service_errors.StoreDown()]}
    environment = Environment(sleep=meanwhile)
    async with reverie_client.connect(served.address, plaintext=True, environment=environment) as reverie:
        outcomes = await reverie.user("ines").create_batch([NewMemory("one"), NewMemory("two")])
    assert outcomes[0].created is not None
    assert isinstance(outcomes[1].error, errors.UserForbidden)


async def test_many_memories_go_in_several_calls_and_come_back_in_order(user: User, served: Served) -> None:
    new = (NewMemory(f"memory {number}", occurred_at=date(2025, 3, 9)) for number in range(250))
    outcomes = [outcome async for outcome in user.create_all(new, batch=100, at_once=2)]
    assert [outcome.new.text for outcome in outcomes] == [f"memory {number}" for number in range(250)]
    assert all(outcome.created and outcome.created.id == outcome.new.id for outcome in outcomes)
    assert len(served.reverie.metadata) == 3


async def test_a_call_that_fails_among_many_is_raised_after_the_outcomes_before_it(
    user: User, served: Served
) -> None:
    seen = []
    new = (NewMemory(f"memory {number}") for number in range(30))
    with pytest.raises(errors.OwnerErased):  # noqa: PT012
        async for outcome in user.create_all(new, batch=10, at_once=1):
            seen.append(outcome)
            served.reverie.failures = [service_errors.OwnerErased()]
    assert len(seen) == 10


async def test_an_update_changes_what_it_names_in_the_state_it_starts_from(user: User) -> None:
    memory = await user.create("Six eggs.", labels=["cake"])
    changed = await user.update(memory, text="Eight eggs.")
    assert (changed.text, list(changed.labels)) == ("Eight eggs.", ["cake"])
    with pytest.raises(errors.EtagMismatch):
        await user.update(memory, text="Seven eggs.")
    bare = await user.update(memory.id, etag=changed.etag, labels=())
    assert (bare.text, list(bare.labels)) == ("Eight eggs.", [])


async def test_an_update_without_etag_or_change_is_a_mistake_of_the_program(user: User) -> None:
    memory = await user.create("Six eggs.")
    with pytest.raises(ValueError, match="etag"):
        await user.update(memory.id, text="Eight eggs.")
    with pytest.raises(ValueError, match="at least one change"):
        await user.update(memory)


async def test_a_deleted_memory_is_gone(user: User) -> None:
    memory = await user.create("Forget it.")
    await user.delete(memory)
    await user.delete(memory.id)
    with pytest.raises(errors.MemoryNotFound):
        await user.get(memory)


async def test_a_timeline_is_read_page_by_page(user: User, served: Served) -> None:
    for day in range(1, 8):
        await user.create(f"day {day}", occurred_at=date(2025, 3, day))
    newest = await user.timeline(limit=3, only=Filter(kinds=[Kind.NOTE]))
    assert [memory.text for memory in newest] == ["day 7", "day 6", "day 5"]
    page = await user.timeline(oldest_first=True, limit=3).page("3")
    assert [memory.text for memory in page.items] == ["day 4", "day 5", "day 6"]
    assert page.next_page_token == "6"


async def test_pages_that_are_asked_for_at_once_are_the_pages_that_were_asked_for(user: User) -> None:
    for day in range(1, 8):
        await user.create(f"day {day}", occurred_at=date(2025, 3, day))
    listing = user.timeline(oldest_first=True, limit=3)
    pages = await asyncio.gather(*(listing.page(token) for token in ("", "3", "6")))
    assert [page.items[0].text for page in pages] == ["day 1", "day 4", "day 7"]


async def test_the_state_of_analysis_is_told(user: User) -> None:
    state = await user.analysis_state()
    assert (state.due, state.dead) == (2, 1)
    assert state.oldest_due_time == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


async def test_on_this_day_wants_a_day(user: User) -> None:
    await user.create("Born.", occurred_at=date(2020, 2, 29))
    assert len(await user.on_this_day(datetime(2026, 2, 28, 23, tzinfo=UTC))) == 1
    with pytest.raises(ValueError, match="no UTC offset"):
        user.on_this_day(datetime(2026, 2, 28))  # noqa: DTZ001


async def test_names_of_others_and_what_is_no_id_are_refused_before_a_call(user: User) -> None:
    with pytest.raises(ValueError, match="is not a memory of users/ines"):
        await user.get("users/tomas/memories/01890a5d-ac96-774b-bcce-b302099a8057")
    with pytest.raises(ValueError, match="is no UUID"):
        await user.get("lemon")


async def test_operators_see_and_mend_the_queue(reverie: Reverie, served: Served) -> None:
    operator = Operator(reverie)
    stats = await operator.queue_stats()
    assert (stats.due, stats.dead, stats.stages[0].oldest_due_age) == (2, 1, timedelta(seconds=3))
    assert [letter.attempts async for letter in operator.dead_letters()] == [5]
    assert await operator.replay(["a", "b"]) == 2
    assert await operator.replay([]) == 0
    assert await operator.replay_all() == 3
    assert (await operator.drop_segments()).bytes == 600
    assert await operator.echo(b"x", response_size=9, to="query") == bytes(9)
    assert served.reverie.metadata[-1]["reverie-echo-to"] == "query"


async def test_the_next_edge_answers_when_the_first_does_not(served: Served) -> None:
    edges = [NOWHERE, served.address]
    async with reverie_client.connect(edges, plaintext=True) as reverie:
        await reverie.user("ines").create("Through the second.")


async def test_an_edge_that_comes_back_is_found_within_the_deadline(served: Served, tmp_path: Path) -> None:
    late = tmp_path / "late.sock"

    async def come_back(seconds: float) -> None:
        if not late.is_symlink():
            late.symlink_to(served.address.removeprefix("unix:"))
        await asyncio.sleep(seconds)

    environment = Environment(sleep=come_back)
    async with reverie_client.connect([f"unix:{late}"], plaintext=True, environment=environment) as reverie:
        assert (await reverie.user("ines").create("Waited for.")).text == "Waited for."


async def test_an_edge_that_falls_silent_is_left_for_the_next_within_the_deadline(
    served: Served, tmp_path: Path
) -> None:
    async with (
        mutable_relay(served.address, tmp_path / "relay.sock") as (address, mute),
        reverie_client.connect([address, served.address], plaintext=True) as reverie,
    ):
        user = reverie.user("ines")
        await user.create("Through the first.")
        mute.set()
        await user.create("Through the second.")
    assert len(served.reverie.memories) == 2


async def test_where_nothing_answers_the_error_says_so_in_time() -> None:
    async with reverie_client.connect([NOWHERE], plaintext=True) as reverie:
        with pytest.raises(errors.Unreachable):
            await reverie.user("ines").create("Nobody there.", within=timedelta(milliseconds=200))


async def test_a_closed_connection_makes_no_call(served: Served) -> None:
    async with reverie_client.connect([served.address], plaintext=True) as reverie:
        user = reverie.user("ines")
        await user.create("Open.")
    with pytest.raises(RuntimeError, match="closed"):
        await user.create("Closed.")
