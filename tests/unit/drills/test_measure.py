import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.drills.measure import Call, Window, back_at, figures, is_even, latency, longest_gap, rate

MOMENTS = st.lists(st.floats(0, 100), max_size=30)


def _calls(*ends: float, error: str = "") -> list[Call]:
    return [Call("create", True, end - 0.01, end, error) for end in ends]


def test_a_gap_is_the_longest_time_without_an_ok_answer() -> None:
    assert longest_gap([1, 2, 5, 6], Window(0, 7)) == 3
    assert longest_gap([], Window(2, 9)) == 7
    assert longest_gap([8, 9], Window(0, 10)) == 8


@given(MOMENTS, MOMENTS)
def test_more_answers_never_make_a_gap_longer(some: list[float], more: list[float]) -> None:
    window = Window(10, 90)
    assert longest_gap([*some, *more], window) <= longest_gap(some, window) <= 80


@given(MOMENTS)
def test_no_stretch_longer_than_the_gap_is_without_an_answer(moments: list[float]) -> None:
    window = Window(0, 100)
    gap = longest_gap(moments, window)
    assert all(any(moment <= end for end in [*moments, 100] if end >= moment) for moment in moments)
    assert gap >= 100 / (len(moments) + 1) - 0.001


def test_failed_calls_count_and_fill_no_gap() -> None:
    calls = [*_calls(1, 2), *_calls(3, 4, error="Unavailable STORE_DOWN"), *_calls(6)]
    found = figures(calls, Window(0.5, 7))
    assert (found.calls, found.acknowledged, found.failed_calls) == (5, 3, 2)
    assert (found.error_share, found.longest_error_gap_seconds) == (0.4, 4)
    assert found.errors == {"create: Unavailable STORE_DOWN": 2}


def test_reads_go_on_while_writes_do_not() -> None:
    reads = [Call("read", False, at, at) for at in range(10)]
    found = figures([*reads, *_calls(1, 9)], Window(0, 10))
    assert (found.longest_error_gap_seconds, found.write_outage_seconds) == (1, 8)


def test_calls_outside_of_the_window_count_nowhere() -> None:
    assert figures(_calls(1, 2, 3, 9), Window(1.5, 4)).calls == 2


def test_no_call_in_the_window_is_an_error_not_a_zero() -> None:
    with pytest.raises(ValueError, match="no call was made"):
        figures(_calls(1), Window(2, 3))


def test_latency_counts_from_the_intended_arrival() -> None:
    found = latency([Call("read", False, 0, end / 1000) for end in range(1, 101)])
    assert found is not None
    assert (found.p50, found.p99, found.max) == (50, 99, 100)
    assert latency([]) is None


def test_a_rate_is_of_ok_answers() -> None:
    assert rate([*_calls(1, 2, 3), *_calls(2.5, error="Unavailable")], Window(1, 3)) == 1


def test_a_load_is_even_once_what_arrives_is_answered_promptly() -> None:
    prompt = [Call("read", False, at / 100, at / 100 + 0.02) for at in range(100)]
    slow = [Call("read", False, at / 100, at / 100 + 0.7) for at in range(100)]
    refused = [Call("read", False, at / 100, at / 100 + 0.02, "Overloaded") for at in range(100)]
    assert is_even(prompt, rate=100, now=1.3)
    assert not is_even(prompt, rate=100, now=0.9)
    assert not is_even(slow, rate=100, now=1.3)
    assert not is_even(refused, rate=100, now=1.3)
    assert not is_even([], rate=100, now=1.3)


def test_a_load_was_even_for_a_while_if_it_was_all_the_time() -> None:
    prompt = [Call("read", False, at / 100, at / 100 + 0.02) for at in range(300)]
    assert is_even(prompt, rate=100, now=3.5, over=3)
    slow_at_first = [Call("read", False, at / 100, 2.0) for at in range(100)]
    recovered = [*slow_at_first, *prompt[200:]]
    assert is_even(recovered, rate=100, now=3.5)
    assert not is_even(recovered, rate=100, now=3.5, over=3)


def test_a_load_is_back_once_a_second_has_as_many_answers_as_before() -> None:
    steady = [at / 10 for at in range(100)]
    assert back_at(steady, healthy_at=2.05, rate_before=10, now=3.1) == 2.05
    assert back_at(steady, healthy_at=2.05, rate_before=10, now=3.0) is None


def test_a_load_that_lags_is_back_when_its_answers_are() -> None:
    late = [5 + at / 10 for at in range(50)]
    found = back_at(late, healthy_at=2.0, rate_before=10, now=9.0)
    assert found is not None
    assert 4 <= found <= 5.1
    assert back_at(late[:5], healthy_at=2.0, rate_before=10, now=9.0) is None
