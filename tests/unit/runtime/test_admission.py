import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.admission import Admission, retry_delay
from services.runtime.errors import Overloaded


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_never_more_than_the_limit_are_inside(comes: list[bool], limit: int) -> None:
    admission, inside = Admission(limit), 0
    for one in comes:
        if one:
            try:
                admission.enter()
            except Overloaded:
                assert inside == limit
                admission.leave()
            else:
                inside += 1
                assert inside <= limit
        elif inside:
            admission.leave()
            inside -= 1


@given(st.floats(0, 60), st.floats(0, 60))
def test_who_waited_for_longer_than_is_allowed_is_refused_and_takes_nobodys_place(
    patience: float, waited: float
) -> None:
    admission = Admission(1, patience)
    try:
        admission.enter(waited)
    except Overloaded:
        assert waited > patience
    else:
        assert waited <= patience
    admission.leave()
    admission.enter()


def test_an_operator_may_have_waited_for_any_time() -> None:
    Admission(1, math.inf).enter(3600.0)


@given(st.floats(-1, 1000), st.floats(-1, 1000))
def test_the_delay_grows_with_the_queue_within_bounds(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert retry_delay(shorter) <= retry_delay(longer)
    assert timedelta(seconds=0.1) <= retry_delay(one) <= timedelta(seconds=5)
    assert retry_delay(one) >= min(timedelta(seconds=max(one, 0)), timedelta(seconds=5))


@pytest.mark.parametrize(
    ("waited", "seconds"), [(0.0, 0.1), (0.05, 0.1), (0.06, 0.2), (0.7, 1.4), (90.0, 5.0)]
)
def test_the_delay_is_twice_the_wait(waited: float, seconds: float) -> None:
    assert retry_delay(waited) == timedelta(seconds=seconds)
