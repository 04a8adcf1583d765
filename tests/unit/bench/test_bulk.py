"""How rates of many rows are compared."""

import pytest

from ops.bench.bulk import Rates


def test_a_stream_is_compared_with_the_copy_of_its_round() -> None:
    rates = Rates(copy=[100, 50, 200], stream=[30, 15, 60], batch=[1, 2, 3])
    assert rates.over_copy(rates.stream) == pytest.approx(0.3)


def test_one_odd_round_does_not_count() -> None:
    rates = Rates(copy=[100, 100, 400], stream=[30, 28, 32], batch=[1, 2, 3])
    assert rates.over_copy(rates.stream) == pytest.approx(0.28)
    assert rates.middle() == {"copy": 100, "stream": 30, "batch": 2}
