"""How fast interrupted imports are found to be."""

from unittest.mock import Mock

import pytest

from ops.drills.imports import Import, rate_vs_undisturbed
from ops.drills.journal import Journal
from reverie_client import User


def took(seconds: float, size: int = 10) -> Import:
    """An import of so many memories that took so long."""
    return Import(Mock(spec=User), Journal(), [Mock()] * size, seconds)


def test_an_import_is_compared_with_the_undisturbed_ones_before_and_after_it() -> None:
    assert rate_vs_undisturbed([took(20)], [took(4, size=5), took(12, size=5)]) == pytest.approx(0.8)


def test_a_machine_that_gets_slower_does_not_count_against_imports() -> None:
    assert rate_vs_undisturbed([took(15), took(30)], [took(10), took(20), took(40)]) == pytest.approx(1.0)


def test_ratios_of_several_imports_are_averaged_as_ratios_are() -> None:
    assert rate_vs_undisturbed([took(5), took(20)], [took(10)] * 3) == pytest.approx(1.0)
