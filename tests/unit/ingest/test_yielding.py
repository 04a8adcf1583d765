import pytest

from services.ingest.yielding import FORGOTTEN_AFTER, LEAST_SHARE, LONGEST_PAUSE, TARGET, Yielding


def told(yielding: Yielding, took: float, times: int, *, beside_bulk: bool, now: float = 0.0) -> None:
    for _ in range(times):
        yielding.single(took, now, beside_bulk=beside_bulk)


def share(yielding: Yielding, now: float = 0.0) -> float:
    """Of its time bulk works so much."""
    return 0.01 / (0.01 + yielding.rest(0.01, now))


def test_bulk_has_all_of_its_time_while_nobody_else_writes() -> None:
    assert Yielding().rest(0.02, 5.0) == 0


def test_bulk_has_all_of_its_time_while_others_take_no_longer_beside_it() -> None:
    yielding = Yielding()
    told(yielding, 0.004, 100, beside_bulk=False)
    told(yielding, 0.004 * TARGET * 0.9, 100, beside_bulk=True)
    assert yielding.rest(0.02, 0.0) == 0


def test_bulk_slows_down_while_others_take_too_long_and_never_stops() -> None:
    yielding = Yielding()
    told(yielding, 0.004, 100, beside_bulk=False)
    told(yielding, 0.03, 3, beside_bulk=True)
    some = share(yielding)
    assert LEAST_SHARE < some < 1
    told(yielding, 0.03, 100, beside_bulk=True)
    assert share(yielding) == pytest.approx(LEAST_SHARE)
    assert yielding.rest(10.0, 0.0) == LONGEST_PAUSE


def test_bulk_has_its_time_back_little_by_little_or_at_once_when_the_others_are_done() -> None:
    yielding = Yielding()
    told(yielding, 1.0, 100, beside_bulk=True)
    told(yielding, 0.001, 10, beside_bulk=True)
    assert LEAST_SHARE < share(yielding) < 1
    assert share(yielding, now=2 * FORGOTTEN_AFTER) == 1
    told(yielding, 0.001, 1, beside_bulk=True, now=2 * FORGOTTEN_AFTER)
    assert share(yielding, now=2 * FORGOTTEN_AFTER) == 1
