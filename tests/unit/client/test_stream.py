"""The bookkeeping of a stream: nothing is lost, nothing is handed back twice, whatever breaks."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reverie.ingest.v1.ingest_pb2 import (
    CreatedMemory,
    CreatedRun,
    CreateResult,
    StreamItem,
    StreamMemoriesRequest,
    StreamResult,
)
from reverie.memory.v1.memory_pb2 import ItemError
from reverie_client import NewMemory, Source
from reverie_client.answers import Created
from reverie_client.errors import InternalError, InvalidArgument, UnknownOutcome
from reverie_client.stream import FRAME_BYTES, Sending

WHEN = datetime(2025, 3, 9, tzinfo=UTC)


def put(sending: Sending, number: int, size: int = 0, label: str = "") -> None:
    labels = [label] if label else []
    sending.add(NewMemory("x" * size, occurred_at=WHEN, id=UUID(int=number), labels=labels))


def done(sequence: int) -> StreamResult:
    return StreamResult(sequence=sequence, result=CreateResult(memory=CreatedMemory(revision=1)))


def run(first: int, count: int) -> CreatedRun:
    return CreatedRun(first_sequence=first, count=count, revision=7, etag="7")


def refused(sequence: int, code: int, reason: str) -> StreamResult:
    return StreamResult(sequence=sequence, result=CreateResult(error=ItemError(code=code, reason=reason)))


def sent(sending: Sending) -> list[StreamItem]:
    return [*StreamMemoriesRequest.FromString(sending.frame()).items]


def sequences(sending: Sending) -> list[int]:
    frame = StreamMemoriesRequest.FromString(sending.frame())
    return sorted([*(item.sequence for item in frame.items), *frame.columns.sequences])


def handed_back(sending: Sending) -> list[int]:
    return [outcome.new.id.int for outcome in sending.outcomes() if outcome.new.id]


def test_frames_hold_so_many_memories_and_bytes() -> None:
    sending = Sending("users/ines", frame=3)
    sending.opened(100)
    for number in range(4):
        put(sending, number)
    put(sending, 4, size=FRAME_BYTES)
    put(sending, 5)
    assert [sequences(sending) for _ in range(4)] == [[0, 1, 2], [3], [4], [5]]
    assert sequences(sending) == []


def test_outcomes_come_in_the_order_given_however_they_are_acknowledged() -> None:
    sending = Sending("users/ines", frame=10)
    for number in range(3):
        put(sending, number)
    sending.frame()
    sending.acknowledge([done(2), done(1)])
    assert handed_back(sending) == []
    sending.acknowledge([done(0)])
    assert handed_back(sending) == [0, 1, 2]
    assert handed_back(sending) == []


def test_a_run_is_a_receipt_for_each_of_its_memories() -> None:
    sending = Sending("users/ines", frame=10)
    for number in range(4):
        put(sending, number)
    sending.frame()
    sending.acknowledge_runs([run(1, 3), run(0, 1)])
    outcomes = [*sending.outcomes()]
    assert [outcome.created for outcome in outcomes] == [
        Created("users/ines", UUID(int=number), 7, "7") for number in range(4)
    ]
    assert outcomes[0].created is not None
    assert outcomes[0].created.name == f"users/ines/memories/{UUID(int=0)}"
    sending.exhaust()
    assert sending.is_done


def test_what_columns_do_not_say_goes_as_items_in_the_same_frame() -> None:
    sending = Sending("users/ines", frame=10)
    for number in range(4):
        put(sending, number, label="garden" if number % 2 else "")
    sending.opened(100, takes_columns=True)
    frame = StreamMemoriesRequest.FromString(sending.frame())
    assert [item.sequence for item in frame.items] == [1, 3]
    assert [*frame.columns.sequences] == [0, 2]
    assert frame.columns.ids == UUID(int=0).bytes + UUID(int=2).bytes
    sending.opened(100)
    assert [item.sequence for item in sent(sending)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "broken",
    [
        NewMemory("x", occurred_at=WHEN.replace(tzinfo=None), id=UUID(int=1)),
        NewMemory("\ud800", occurred_at=WHEN, id=UUID(int=1)),
        NewMemory("x", occurred_at=WHEN, id=UUID(int=1), source=Source("talk", position=2**31)),
    ],
)
def test_what_no_message_holds_is_told_when_it_is_taken(broken: NewMemory) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (each library has its own words)
        Sending("users/ines", frame=10).add(broken)


def test_another_stream_gets_what_has_no_acknowledgement_under_the_same_numbers() -> None:
    sending = Sending("users/ines", frame=10)
    for number in range(4):
        put(sending, number)
    first = sent(sending)
    sending.acknowledge([done(0), done(2)])
    assert handed_back(sending) == [0]
    sending.opened(100)
    assert sent(sending) == [first[1], first[3]]


def test_an_item_that_is_refused_is_done_and_one_in_doubt_is_sent_again() -> None:
    sending = Sending("users/ines", frame=10)
    put(sending, 0)
    put(sending, 1)
    sending.frame()
    again = sending.acknowledge([refused(0, 3, "INVALID_ARGUMENT"), refused(1, 14, "UNKNOWN_OUTCOME")])
    assert isinstance(again, UnknownOutcome)
    (first,) = sending.outcomes()
    assert isinstance(first.error, InvalidArgument)
    sending.opened(100)
    assert sequences(sending) == [1]


@pytest.mark.parametrize("sequence", [-1, 0, 2])
def test_an_acknowledgement_of_what_waits_for_none_is_told(sequence: int) -> None:
    sending = Sending("users/ines", frame=10)
    put(sending, 0)
    put(sending, 1)
    sending.acknowledge([done(0)])
    with pytest.raises(InternalError):
        sending.acknowledge([done(sequence)])


@pytest.mark.parametrize("wrong", [run(-1, 2), run(0, 1), run(1, 3), run(3, 1)])
def test_a_run_with_what_waits_for_none_is_told(wrong: CreatedRun) -> None:
    sending = Sending("users/ines", frame=10)
    for number in range(3):
        put(sending, number)
    sending.acknowledge([done(0)])
    with pytest.raises(InternalError):
        sending.acknowledge_runs([wrong])


def test_no_more_is_taken_than_the_window_holds() -> None:
    sending = Sending("users/ines", frame=2)
    taken = 0
    while sending.has_room:
        put(sending, taken)
        taken += 1
    assert taken == 2
    sending.opened(5)
    while sending.has_room:
        put(sending, taken)
        taken += 1
    assert taken == 5


class Resumed(RuleBasedStateMachine):
    """Streams begin and break off; the other side commits what it was sent, and may not get to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = Sending("users/ines", frame=4)
        self.window = 4
        self.taken = 0
        self.on_stream: list[int] = []
        self.committed: set[int] = set()
        self.returned: list[int] = []

    @precondition(lambda self: self.sending.has_room)
    @rule(label=st.sampled_from(["", "garden"]))
    def take(self, label: str) -> None:
        put(self.sending, self.taken, label=label)
        self.taken += 1

    @rule(window=st.integers(1, 12), takes_columns=st.booleans())
    def begin(self, window: int, takes_columns: bool) -> None:
        self.sending.opened(window, takes_columns=takes_columns)
        self.window, self.on_stream = window, []

    @rule()
    def send(self) -> None:
        sent = sequences(self.sending)
        assert not {*sent} & {*self.on_stream}
        self.on_stream += sent
        assert len(self.on_stream) <= self.window
        self.committed.update(sent)

    @precondition(lambda self: self.on_stream)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(self.on_stream))
        self.on_stream.remove(sequence)
        assert self.sending.acknowledge([done(sequence)]) is None

    @precondition(lambda self: self.on_stream)
    @rule(data=st.data())
    def acknowledge_a_run(self, data: st.DataObject) -> None:
        first = last = data.draw(st.sampled_from(self.on_stream))
        while last in self.on_stream and data.draw(st.booleans()):
            self.on_stream.remove(last)
            last += 1
        self.sending.acknowledge_runs([run(first, last - first)])

    @rule()
    def hand_back(self) -> None:
        self.returned += handed_back(self.sending)

    @invariant()
    def what_is_handed_back_is_committed_and_in_order(self) -> None:
        assert self.returned == [*range(len(self.returned))]
        assert {*self.returned} <= self.committed

    def teardown(self) -> None:
        self.sending.exhaust()
        self.sending.opened(12)
        while sent := sequences(self.sending):
            self.sending.acknowledge([done(sequence) for sequence in sent])
        self.returned += handed_back(self.sending)
        assert self.sending.is_done
        assert self.returned == [*range(self.taken)]


def test_nothing_is_lost_or_handed_back_twice() -> None:
    run_state_machine_as_test(Resumed, settings=settings(max_examples=100, stateful_step_count=40))
