from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.ingest import lane
from services.ingest.lane import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_BYTES,
    MAX_ROWS,
    Batch,
    Committed,
    Lane,
    Operation,
    Outcome,
    Ticket,
    outcomes,
)
from services.runtime.errors import (
    DeadlineExceeded,
    DeadlineTooShort,
    InternalError,
    Overloaded,
    PeerUnavailable,
    StoreDown,
    TooLarge,
    UnknownOutcome,
)
from tests.unit.ingest.operations import operation, written

IN_DOUBT = (UnknownOutcome(), PeerUnavailable(), DeadlineExceeded())


def taken(from_: Lane[int]) -> Batch[int]:
    batch = from_.take()
    assert batch is not None
    return batch


def idle(queue: Lane[int]) -> bool:
    return queue._in_flight is None and not (queue._heads or queue._behind or queue._alike)


def committed(batch: Batch[int], revision: int = 1) -> list[Outcome]:
    return list(outcomes(batch, written(batch.request, revision)))


def names(batch: Batch[int]) -> list[tuple[bytes, bytes]]:
    return [(entry.operation.key, entry.operation.identity) for entry in batch.entries]


def test_what_arrives_while_a_batch_is_in_flight_becomes_the_next_one() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(memory=1), 1, 9)
    first = taken(queue)
    queue.submit(operation(memory=2), 2, 9)
    queue.submit(operation(memory=3), 3, 9)
    assert queue.take() is None
    assert [caller for caller, _ in queue.finish(first, committed(first))] == [1]
    second = taken(queue)
    assert [caller for caller, _ in queue.finish(second, committed(second))] == [2, 3]
    assert idle(queue)


def test_identical_creates_that_wait_are_one_and_all_get_its_answer() -> None:
    queue: Lane[int] = Lane()
    for caller in (1, 2, 3):
        queue.submit(operation(), caller, 9)
    batch = taken(queue)
    assert len(batch.request.operations) == 1
    told = list(queue.finish(batch, committed(batch, 7)))
    assert [caller for caller, _ in told] == [1, 2, 3]
    assert all(isinstance(outcome, Committed) and outcome.result.revision == 7 for _, outcome in told)


def test_an_identical_create_does_not_join_one_that_is_in_flight() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(), 1, 9)
    first = taken(queue)
    queue.submit(operation(), 2, 9)
    assert [caller for caller, _ in queue.finish(first, committed(first))] == [1]
    assert len(taken(queue).entries) == 1


def test_two_bodies_of_one_id_go_in_two_batches_in_their_order() -> None:
    queue: Lane[int] = Lane()
    for caller, body in enumerate("abca"):
        queue.submit(operation(body=body), caller, 9)
    queue.submit(operation(memory=2), 9, 9)
    order = []
    while not idle(queue):
        batch = taken(queue)
        order.append([caller for caller, _ in queue.finish(batch, committed(batch))])
    assert order == [[0, 3, 9], [1], [2]]


def test_one_memory_of_two_owners_is_two() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(of=1), 1, 9)
    queue.submit(operation(of=2, body="b"), 2, 9)
    batch = taken(queue)
    assert [owner.owner[-1] for owner in batch.request.owners] == [1, 2]
    assert [each.owner_index for each in batch.request.operations] == [0, 1]


def test_a_batch_names_each_owner_once() -> None:
    queue: Lane[int] = Lane()
    for memory in range(6):
        queue.submit(operation(of=memory % 2, memory=memory), memory, 9)
    batch = taken(queue)
    assert len(batch.request.owners) == 2
    for sent in batch.request.operations:
        assert batch.request.owners[sent.owner_index].owner[-1] == sent.id[-1] % 2


def test_a_batch_has_at_most_so_many_rows() -> None:
    queue: Lane[int] = Lane()
    for memory in range(MAX_ROWS + 1):
        queue.submit(operation(memory=memory), memory, 9)
    batch = taken(queue)
    assert len(batch.entries) == MAX_ROWS
    queue.finish(batch, committed(batch))
    assert len(taken(queue).entries) == 1


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 200_000)), min_size=1, max_size=40))
@settings(max_examples=30)
def test_a_batch_has_at_most_so_many_bytes_as_sent(sizes: list[tuple[int, int]]) -> None:
    queue: Lane[int] = Lane()
    for memory, (of, size) in enumerate(sizes):
        queue.submit(operation(of=of, memory=memory, size=size), memory, 9)
    seen = 0
    while not idle(queue):
        batch = taken(queue)
        assert 0 < len(batch.request.SerializeToString()) <= MAX_BYTES
        seen += len(batch.entries)
        queue.finish(batch, committed(batch))
    assert seen == len(sizes)


def test_the_names_of_many_owners_count_as_bytes() -> None:
    queue: Lane[int] = Lane()
    for number in range(MAX_ROWS):
        queue.submit(operation(of=number, size=MAX_BYTES // MAX_ROWS - 60, user="u" * 128), number, 9)
    assert len(taken(queue).request.SerializeToString()) <= MAX_BYTES


def test_an_operation_larger_than_a_batch_goes_alone() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(memory=1, size=MAX_BYTES), 1, 9)
    queue.submit(operation(memory=2), 2, 9)
    assert len(taken(queue).entries) == 1


def test_a_caller_that_leaves_before_its_turn_knows_that_nothing_happened() -> None:
    queue: Lane[int] = Lane()
    ticket = queue.submit(operation(), 1, 9)
    assert isinstance(queue.leave(ticket), DeadlineTooShort)
    assert idle(queue)
    assert queue.take() is None


def test_a_caller_that_leaves_once_it_is_sent_does_not_know() -> None:
    queue: Lane[int] = Lane()
    ticket = queue.submit(operation(), 1, 9)
    batch = taken(queue)
    assert isinstance(queue.leave(ticket), UnknownOutcome)
    assert list(queue.finish(batch, committed(batch))) == []


def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    queue: Lane[int] = Lane()
    leaving = queue.submit(operation(), 1, 9)
    queue.submit(operation(), 2, 9)
    queue.leave(leaving)
    batch = taken(queue)
    assert [caller for caller, _ in queue.finish(batch, committed(batch))] == [2]


def test_a_caller_with_an_outcome_has_nothing_to_leave() -> None:
    queue: Lane[int] = Lane()
    ticket = queue.submit(operation(), 1, 9)
    batch = taken(queue)
    queue.finish(batch, committed(batch))
    assert queue.leave(ticket) is None
    assert queue.leave(ticket) is None


def test_callers_that_leave_while_a_batch_hangs_leave_nothing_behind() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(memory=0), 0, 9)
    hanging = taken(queue)
    tickets = [queue.submit(operation(memory=1 + at % 3, body=str(at)), at, 9) for at in range(99)]
    for ticket in reversed(tickets):
        queue.leave(ticket)
    queue.finish(hanging, committed(hanging))
    assert idle(queue)


@pytest.mark.parametrize("error", IN_DOUBT)
def test_a_batch_in_doubt_is_sent_again_until_the_latest_deadline(error: UnknownOutcome) -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(memory=1), 1, 2.0)
    queue.submit(operation(memory=2), 2, 5.0)
    batch = taken(queue)
    now, pauses = 0.0, []
    while (pause := batch.failed(error, now)) is not None:
        pauses.append(pause)
        now += pause
        assert queue.take() is None
    assert pauses[:3] == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]
    assert max(pauses) == LONGEST_PAUSE
    assert 5.0 - LONGEST_PAUSE <= now < 5.0
    assert isinstance(batch.verdict(error), UnknownOutcome)


@pytest.mark.parametrize("error", [StoreDown(), Overloaded(), InternalError()])
def test_a_batch_that_was_refused_is_not_sent_again(error: StoreDown) -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(), 1, 9)
    batch = taken(queue)
    assert batch.failed(error, 0) is None
    assert batch.verdict(error) is error


def test_a_refusal_after_a_doubt_says_nothing_about_the_first_attempt() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(), 1, 9)
    batch = taken(queue)
    assert batch.failed(UnknownOutcome(), 0) is not None
    assert batch.failed(StoreDown(), 1) is not None
    assert batch.failed(InternalError(), 1) is None
    assert isinstance(batch.verdict(InternalError()), UnknownOutcome)


def test_after_an_answer_that_is_too_large_nobody_is_told_that_the_write_is_not_there() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(), 1, 9)
    batch = taken(queue)
    assert batch.failed(TooLarge(), 0) is None
    assert isinstance(batch.verdict(TooLarge()), UnknownOutcome)


def test_a_batch_that_nobody_waits_for_is_not_sent_again() -> None:
    queue: Lane[int] = Lane()
    ticket = queue.submit(operation(), 1, 9)
    batch = taken(queue)
    queue.leave(ticket)
    assert batch.failed(UnknownOutcome(), 0) is None


def test_an_operation_that_was_committed_later_than_its_batch_says_when() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(), 1, 9)
    batch = taken(queue)
    response = written(batch.request)
    response.commit_time.seconds = 5
    (with_batch,) = outcomes(batch, response)
    response.results[0].commit_time.seconds = 7
    (later,) = outcomes(batch, response)
    assert isinstance(with_batch, Committed)
    assert isinstance(later, Committed)
    assert (with_batch.commit_time.seconds, later.commit_time.seconds) == (5, 7)


def test_an_answer_that_does_not_fit_its_batch_is_refused() -> None:
    queue: Lane[int] = Lane()
    queue.submit(operation(), 1, 9)
    batch = taken(queue)
    response = written(batch.request)
    response.results.add()
    with pytest.raises(ValueError, match="another number"):
        batch.check(response)


class Lanes(RuleBasedStateMachine):
    """Any order of events, against what a lane promises."""

    tickets: Bundle[Ticket[int]] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.lane: Lane[int] = Lane()
        self.batch: Batch[int] | None = None
        self.submitted: dict[int, Operation] = {}
        self.told: dict[int, int] = defaultdict(int)
        self.left: set[int] = set()
        self.sent_of: dict[bytes, list[bytes]] = defaultdict(list)
        self.order_of: dict[bytes, list[bytes]] = defaultdict(list)

    @rule(target=tickets, of=st.integers(1, 2), memory=st.integers(1, 3), body=st.sampled_from("abc"))
    def submit(self, of: int, memory: int, body: str) -> Ticket[int]:
        caller = len(self.submitted)
        wanted = operation(of, memory, body)
        self.submitted[caller] = wanted
        if wanted.identity not in self.order_of[wanted.key]:
            self.order_of[wanted.key].append(wanted.identity)
        return self.lane.submit(wanted, caller, 9)

    @rule(ticket=tickets)
    def leave(self, ticket: Ticket[int]) -> None:
        caller, entry = ticket.caller, ticket.entry
        error = self.lane.leave(ticket)
        if caller in self.left or self.told[caller]:
            assert error is None
            return
        assert entry is not None
        assert isinstance(error, UnknownOutcome if entry.sent else DeadlineTooShort)
        self.left.add(caller)
        if not entry.sent and not entry.tickets:
            self.order_of[entry.operation.key].remove(entry.operation.identity)

    @rule()
    def take(self) -> None:
        batch = self.lane.take()
        if self.batch is not None:
            assert batch is None
            return
        self.batch = batch
        if batch is None:
            return
        keys = [entry.operation.key for entry in batch.entries]
        assert len(set(keys)) == len(keys)
        assert 1 <= len(keys) <= lane.MAX_ROWS
        for entry in batch.entries:
            assert entry.tickets
            # The first body of a memory that came and still waited.
            assert self.order_of[entry.operation.key].pop(0) == entry.operation.identity

    @precondition(lambda self: self.batch is not None)
    @rule(error=st.sampled_from([*IN_DOUBT, StoreDown()]))
    def fail(self, error: UnknownOutcome) -> None:
        assert self.batch is not None
        again = self.batch.failed(error, 0)
        if again is None:
            self.finish_with([self.batch.verdict(error)] * len(self.batch.entries))

    @precondition(lambda self: self.batch is not None)
    @rule()
    def finish(self) -> None:
        assert self.batch is not None
        self.finish_with(committed(self.batch))

    def finish_with(self, ended: list[Outcome]) -> None:
        assert self.batch is not None
        expected = {
            caller
            for caller, wanted in self.submitted.items()
            for entry in self.batch.entries
            if (wanted.key, wanted.identity) == (entry.operation.key, entry.operation.identity)
        }
        for caller, _ in self.lane.finish(self.batch, ended):
            assert caller in expected
            assert caller not in self.left
            self.told[caller] += 1
        self.batch = None

    @invariant()
    def nobody_is_told_twice(self) -> None:
        assert all(count <= 1 for count in self.told.values())

    def teardown(self) -> None:
        while not idle(self.lane):
            if self.batch is None:
                self.take()
            self.finish()
        told = {caller for caller, count in self.told.items() if count}
        assert told | self.left == set(self.submitted)
        assert not told & self.left


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "MAX_ROWS", 3)


@pytest.mark.usefixtures("small_batches")
def test_every_operation_has_one_outcome_whatever_happens_in_whatever_order() -> None:
    run_state_machine_as_test(Lanes, settings=settings(max_examples=100, stateful_step_count=40))
