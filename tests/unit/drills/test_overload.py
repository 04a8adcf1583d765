"""When a wave of calls is the flood that was meant."""

from ops.drills.measure import Call
from ops.drills.overload import Wave, is_a_flood

CAPACITY = 50.0
MEANT = 450
"""Calls in three seconds, of three times the capacity."""


def wave(calls: int, *, late: float = 0.0, refused: bool = True) -> Wave:
    """So many calls within three seconds, each begun so much later than it was to; every second refused."""
    times = [3.0 * number / calls for number in range(calls)]
    flood = [
        Call("read", False, at, at + late + 0.1, "Overloaded" if refused and number % 2 else "", at + late)
        for number, at in enumerate(times)
    ]
    return Wave(CAPACITY, [], flood)


def test_waves_of_which_one_is_smaller_by_chance_are_a_flood() -> None:
    small = int(0.88 * MEANT)
    assert is_a_flood([wave(MEANT), wave(small), wave(MEANT)])
    assert not is_a_flood([wave(small), wave(small), wave(small)])


def test_what_a_generator_begins_too_late_is_no_flood() -> None:
    assert not is_a_flood([wave(MEANT), wave(MEANT, late=1.0), wave(MEANT)])


def test_where_nothing_is_refused_there_was_no_flood() -> None:
    assert not is_a_flood([wave(MEANT), wave(MEANT, refused=False)])
