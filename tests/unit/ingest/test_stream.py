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

from services.ingest.stream import Frame, Limits, Stream
from services.runtime.errors import Draining, InvalidArgument, StoreDown, TooLarge

LIMITS = Limits(window=10, frame_bytes=100, held_bytes=150)


def test_the_window_counts_what_was_not_handed_out() -> None:
    stream: Stream[str] = Stream(LIMITS)
    frame = stream.receive([1, 2, 3, 4, 5, 6], 10)
    stream.answer(frame, [1, 2, 3], "a")
    with pytest.raises(InvalidArgument, match="at most 10"):
        stream.receive([7, 8, 9, 10, 11], 10)
    assert stream.take(1) == ["a"]
    stream.receive([7, 8, 9, 10, 11, 12, 13], 10)


def test_a_sequence_may_come_again_when_it_is_acknowledged_and_not_before() -> None:
    stream: Stream[str] = Stream(LIMITS)
    with pytest.raises(InvalidArgument, match="no other"):
        stream.receive([1, 1], 10)
    frame = stream.receive([1], 10)
    with pytest.raises(InvalidArgument, match="no other"):
        stream.receive([2, 1], 10)
    stream.answer(frame, [1], "a")
    stream.take(9)
    stream.receive([2, 1], 10)


def test_a_frame_that_is_too_large_is_refused() -> None:
    with pytest.raises(TooLarge, match="100 bytes"):
        Stream[str](LIMITS).receive([1], 101)


def test_bytes_hold_the_stream_back_until_whole_frames_are_acknowledged() -> None:
    stream: Stream[str] = Stream(LIMITS)
    frame = stream.receive([1, 2], 100)
    assert stream.has_room
    stream.receive([3], 60)
    assert not stream.has_room
    stream.answer(frame, [1], "a")
    stream.take(9)
    assert not stream.has_room
    stream.answer(frame, [2], "b")
    stream.take(9)
    assert stream.has_room


def test_an_empty_frame_says_that_the_client_is_there_and_holds_nothing() -> None:
    stream: Stream[str] = Stream(LIMITS)
    for _ in range(100):
        stream.receive([], 90)
    assert stream.has_room
    stream.close()
    assert stream.is_over


def test_a_stream_that_drains_acknowledges_what_it_has_read() -> None:
    stream: Stream[str] = Stream(LIMITS)
    frame = stream.receive([1, 2], 10)
    stream.end(Draining())
    assert not stream.is_open
    assert not stream.is_over
    stream.answer(frame, [1, 2], "a")
    assert not stream.is_over
    assert stream.take(9) == ["a"]
    assert stream.is_over
    assert isinstance(stream.error, Draining)


def test_a_stream_that_fails_says_what_is_due_and_ends() -> None:
    stream: Stream[str] = Stream(LIMITS)
    frame = stream.receive([1, 2], 10)
    stream.end(Draining())
    stream.answer(frame, [1], "a")
    stream.fail(StoreDown())
    stream.fail(Draining())
    assert not stream.is_over
    assert stream.take(9) == ["a"]
    assert stream.is_over
    assert isinstance(stream.error, StoreDown)


def test_a_stream_whose_client_has_sent_all_ends_well() -> None:
    stream: Stream[str] = Stream(LIMITS)
    frame = stream.receive([1], 10)
    stream.close()
    stream.answer(frame, [1], "a")
    assert stream.take(9) == ["a"]
    assert stream.is_over
    assert stream.error is None


class Conversation(RuleBasedStateMachine):
    """What was taken in is acknowledged once, or the stream has failed; nothing is held beyond the limits."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: Stream[tuple[int, ...]] = Stream(LIMITS)
        self.next = 0
        self.frames: list[tuple[Frame, list[int]]] = []
        self.due = 0
        self.told: list[int] = []
        self.failed = False

    @precondition(lambda self: self.stream.is_open and self.stream.has_room)
    @rule(rows=st.integers(0, 12), size=st.integers(1, 110))
    def receive(self, rows: int, size: int) -> None:
        sequences = [*range(self.next, self.next + rows)]
        free = LIMITS.window - (self.next - len(self.told))
        try:
            frame = self.stream.receive(sequences, size)
        except (InvalidArgument, TooLarge) as wrong:
            assert rows > free or size > LIMITS.frame_bytes
            self.stream.fail(wrong)
            self.failed = True
        else:
            assert rows <= free
            self.next += rows
            self.frames.append((frame, sequences))

    @precondition(lambda self: any(sequences for _, sequences in self.frames))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        frame, sequences = data.draw(st.sampled_from([each for each in self.frames if each[1]]))
        rows = data.draw(st.integers(1, len(sequences)))
        answered, sequences[:] = sequences[:rows], sequences[rows:]
        self.stream.answer(frame, answered, tuple(answered))
        self.due += 1

    @rule(most=st.integers(1, 5))
    def take(self, most: int) -> None:
        taken = self.stream.take(most)
        assert bool(taken) == bool(self.due)
        self.due -= len(taken)
        self.told += [sequence for each in taken for sequence in each]

    @rule(how=st.sampled_from(["close", "end", "fail"]))
    def stop(self, how: str) -> None:
        if how == "close":
            self.stream.close()
        elif how == "end":
            self.stream.end(Draining())
        else:
            self.stream.fail(StoreDown())
            self.failed = True

    @invariant()
    def it_is_over_when_nothing_is_owed(self) -> None:
        owed = self.next - len(self.told)
        open_ = self.stream.is_open
        assert self.stream.is_over == (not self.due and (self.failed or (not open_ and not owed)))
        assert not (self.failed and open_)

    @invariant()
    def nothing_is_told_twice(self) -> None:
        assert len(self.told) == len(set(self.told))


def test_what_is_taken_in_is_acknowledged_once() -> None:
    run_state_machine_as_test(Conversation, settings=settings(max_examples=150, stateful_step_count=30))
