from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reverie.storage.v1.write_pb2 import WriteBatchRequest, WriteBatchResponse, WriteResult, WriteStatus
from services.ingest import bulk
from services.ingest.bulk import BulkBatch, BulkLane, Group, Part, State
from services.runtime.errors import (
    DeadlineTooShort,
    InvalidArgument,
    PeerUnavailable,
    ReverieError,
    StoreDown,
    UnknownOutcome,
)
from tests.unit.ingest.operations import briefly, operations, owner, row, written

MEMORIES = range(40)

Say = Callable[[WriteBatchRequest], WriteBatchResponse | ReverieError]


def group(*memories: int, of: int = 1, told: Any = lambda _part: None, deadline: float = 9.0) -> Group:
    return Group(owner(of, "ines"), [row(of=of, memory=memory) for memory in memories], deadline, told)


def rows(batch: BulkBatch | None) -> list[int]:
    assert batch is not None
    return [int.from_bytes(change.id) for change in operations(batch.request)]


def taken(lane: BulkLane) -> BulkBatch:
    batch = lane.take()
    assert batch is not None
    return batch


def test_what_waits_becomes_one_batch_and_each_group_hears_of_its_part() -> None:
    lane, heard = BulkLane(), list[Part]()
    lane.submit(group(1, 2, told=heard.append))
    lane.submit(group(3, 4, 5, told=heard.append))
    batch = taken(lane)
    assert rows(batch) == [1, 2, 3, 4, 5]
    assert batch.request.without_memories
    lane.finish(batch, written(batch.request))
    assert [(part.start, part.stop) for part in heard] == [(0, 2), (0, 3)]
    assert lane.take() is None


def test_few_rows_wait_for_the_batch_in_flight_and_many_go_beside_it() -> None:
    lane = BulkLane()
    lane.submit(group(0))
    first = taken(lane)
    lane.submit(group(*range(1, bulk.WORTH_ANOTHER)))
    assert lane.take() is None
    lane.submit(group(bulk.WORTH_ANOTHER))
    assert len(rows(lane.take())) == bulk.WORTH_ANOTHER
    lane.submit(group(*range(1000, 3000)))
    assert lane.take() is None
    lane.finish(first, written(first.request))
    assert len(rows(lane.take())) == bulk.MAX_ROWS


def test_a_group_of_more_than_a_batch_is_answered_in_parts() -> None:
    lane, heard = BulkLane(), list[Part]()
    whole = group(*range(bulk.MAX_ROWS + 10), told=heard.append)
    lane.submit(whole)
    first = taken(lane)
    second = lane.take()
    assert second is None
    lane.finish(first, written(first.request, 7))
    second = taken(lane)
    lane.finish(second, StoreDown())
    assert [(part.start, part.stop) for part in heard] == [
        (0, bulk.MAX_ROWS),
        (bulk.MAX_ROWS, bulk.MAX_ROWS + 10),
    ]
    assert {type(each) for each in heard[0].outcomes} == {WriteResult}
    assert {type(each) for each in heard[1].outcomes} == {StoreDown}
    assert (whole.unanswered, whole.state) == (0, State(b"lineage", 7))


def test_one_memory_twice_is_in_two_batches_and_holds_up_nothing_else() -> None:
    lane = BulkLane()
    lane.submit(group(1, 2, 1, 3, 2))
    first = taken(lane)
    assert rows(first) == [1, 2, 3]
    lane.submit(group(*range(100, 100 + bulk.WORTH_ANOTHER)))
    beside = taken(lane)
    assert not {1, 2} & {*rows(beside)}
    lane.finish(first, written(first.request))
    lane.finish(beside, written(beside.request))
    assert rows(lane.take()) == [1, 2]


def test_one_memory_of_two_owners_is_two() -> None:
    lane = BulkLane()
    lane.submit(group(1, of=1))
    lane.submit(group(1, of=2))
    batch = taken(lane)
    assert rows(batch) == [1, 1]
    assert [change.owner_index for change in operations(batch.request)] == [0, 1]
    assert [of.owner for of in batch.request.owners] == [(1).to_bytes(16), (2).to_bytes(16)]


def test_bytes_are_counted_and_what_is_too_large_alone_goes_alone() -> None:
    lane = BulkLane()
    sizes = (bulk.MAX_BYTES // 2, bulk.MAX_BYTES, 1, 1)
    each = [row(memory=at, size=size) for at, size in enumerate(sizes)]
    lane.submit(Group(owner(1, "ines"), each, 9.0, lambda _part: None))
    batches = []
    while (batch := lane.take()) is not None:
        batches.append(rows(batch))
        lane.finish(batch, written(batch.request))
    assert batches == [[0], [1], [2, 3]]


def test_what_was_sent_when_time_was_up_is_unknown_and_the_rest_was_not_done() -> None:
    lane, heard = BulkLane(), list[Part]()
    late = group(1, 2, 1, told=heard.append)
    lane.submit(late)
    batch = taken(lane)
    lane.expire(late)
    assert [type(each) for each in late.outcomes] == [UnknownOutcome, UnknownOutcome, DeadlineTooShort]
    assert [(part.start, part.stop) for part in heard] == [(0, 2), (2, 3)]
    lane.finish(batch, written(batch.request))
    assert lane.take() is None
    assert len(heard) == 2


def test_a_batch_lives_as_long_as_somebody_waits_for_it() -> None:
    lane = BulkLane()
    patient, hasty = group(1, deadline=9.0), group(2, deadline=3.0)
    lane.submit(patient)
    lane.submit(hasty)
    batch = taken(lane)
    assert batch.deadline == 9.0
    assert batch.failed(PeerUnavailable(), 8.0) is not None
    lane.leave(patient)
    assert batch.deadline == 3.0
    assert batch.failed(PeerUnavailable(), 8.0) is None
    lane.leave(hasty)
    assert batch.deadline is None
    lane.finish(batch, UnknownOutcome())


def test_an_answer_that_does_not_fit_is_told_apart() -> None:
    lane = BulkLane()
    lane.submit(group(1, 2))
    batch = taken(lane)
    response = written(batch.request)
    batch.check(response)
    del response.results[0]
    with pytest.raises(ValueError, match="another number"):
        batch.check(response)


def test_one_word_tells_each_row_that_it_was_written() -> None:
    lane = BulkLane()
    first, second = group(1, 2), group(1, of=2)
    lane.submit(first)
    lane.submit(second)
    batch = taken(lane)
    answer = briefly(batch.request, revision=7)
    answer.owner_revisions[1] = 9
    batch.check(answer)
    lane.finish(batch, answer)
    assert first.outcomes == [WriteResult(status=WriteStatus.WRITE_STATUS_WRITTEN, revision=7)] * 2
    assert second.outcomes == [WriteResult(status=WriteStatus.WRITE_STATUS_WRITTEN, revision=9)]


def test_an_answer_that_is_brief_unasked_does_not_fit() -> None:
    lane = BulkLane()
    lane.submit(group(1, 2))
    batch = taken(lane)
    batch.request.brief = False
    with pytest.raises(ValueError, match="another number"):
        batch.check(briefly(batch.request))


class Bulk(RuleBasedStateMachine):
    """Every operation that is not left is answered once, whatever happens to its batch."""

    groups: Bundle[Group] = Bundle("groups")

    def __init__(self) -> None:
        super().__init__()
        self.lane = BulkLane()
        self.flying: list[BulkBatch] = []
        self.told: Counter[tuple[int, int]] = Counter()
        self.all: list[Group] = []

    @rule(
        target=groups,
        of=st.integers(1, 2),
        memories=st.lists(st.sampled_from(MEMORIES), min_size=1, max_size=30) | st.just([*range(100, 400)]),
    )
    def submit(self, of: int, memories: list[int]) -> Group:
        number = len(self.all)

        def told(part: Part) -> None:
            assert None not in part.outcomes
            self.told.update((number, at) for at in range(part.start, part.stop))

        new = group(*memories, of=of, told=told)
        self.all.append(new)
        self.lane.submit(new)
        return new

    @rule()
    def take(self) -> None:
        batch = self.lane.take()
        if batch is not None:
            self.flying.append(batch)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), say=st.sampled_from([written, briefly, lambda _request: StoreDown()]))
    def finish(self, data: st.DataObject, say: Say) -> None:
        batch = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.lane.finish(batch, say(batch.request))

    @rule(one=consumes(groups))
    def expire(self, one: Group) -> None:
        self.lane.expire(one)

    @rule(one=consumes(groups))
    def leave(self, one: Group) -> None:
        self.lane.leave(one)

    @invariant()
    def batches_in_flight_share_no_memory(self) -> None:
        keys = [_keys(batch) for batch in self.flying]
        assert sum(map(len, keys)) == len(set().union(*keys))
        assert len(keys) <= bulk.IN_FLIGHT
        assert all(1 <= len(each) <= bulk.MAX_ROWS for each in keys)

    def teardown(self) -> None:
        while batch := self.flying.pop() if self.flying else self.lane.take():
            self.lane.finish(batch, written(batch.request))
        assert set(self.told.values()) <= {1}
        for number, one in enumerate(self.all):
            told = sum(1 for group_number, _ in self.told if group_number == number)
            assert told == len(one.rows) or one.left


def _keys(batch: BulkBatch) -> set[bytes]:
    found = [_key(batch, change) for change in operations(batch.request)]
    assert len(found) == len(set(found))
    return set(found)


def _key(batch: BulkBatch, change: Any) -> bytes:
    key: bytes = batch.request.owners[change.owner_index].owner + change.id
    return key


def test_every_operation_is_answered_once() -> None:
    run_state_machine_as_test(Bulk, settings=settings(max_examples=80, stateful_step_count=40))


def test_storage_that_knows_no_columns_gets_operations() -> None:
    lane = BulkLane()
    lane.submit(group(1, 2))
    lane.submit(group(3, of=2))
    batch = taken(lane)
    meant = operations(batch.request)
    assert batch.failed(InvalidArgument.of("operations", "has 1 to 1000 entries"), now=0.0) == 0.0
    assert [*batch.request.operations] == meant
    assert not batch.request.HasField("creates")
    batch.check(written(batch.request))
    assert batch.failed(InvalidArgument.of("operations[0].id", "has 16 bytes"), now=0.0) is None
