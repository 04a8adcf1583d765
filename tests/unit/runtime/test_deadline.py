from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.deadline import FLOOR, UNBOUNDED, WAY_BACK, remaining, shaved
from services.runtime.errors import DeadlineTooShort


class Call:
    """A call with so many seconds left."""

    def __init__(self, left: float | None) -> None:
        self.left = left

    def time_remaining(self) -> float | None:
        return self.left


def call(left: float | None) -> Any:
    return Call(left)


def test_a_call_without_a_deadline_has_none() -> None:
    assert remaining(call(None)) is None
    assert remaining(call(1e11)) is None


def test_a_deadline_is_told_in_seconds() -> None:
    assert remaining(call(2.5)) == 2.5


@given(st.floats(0.016, 3600))
def test_work_ends_early_enough_for_the_way_back(left: float) -> None:
    assert shaved(left) + 1e-9 >= FLOOR
    assert shaved(left) == pytest.approx(left - WAY_BACK)


@given(st.floats(-1, 0.014))
def test_work_that_cannot_end_in_time_is_refused(left: float) -> None:
    with pytest.raises(DeadlineTooShort):
        shaved(left)


def test_the_floor_can_be_higher_for_longer_work() -> None:
    with pytest.raises(DeadlineTooShort, match="needs 500 or more"):
        shaved(0.4, floor=0.5)


def test_work_without_a_deadline_ends_all_the_same() -> None:
    assert shaved(None) == UNBOUNDED
