from datetime import datetime, timedelta, timezone

import pytest

from ops.cli import clock
from reverie_client import Occurred

ZONE = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2024-03-09T18:05:00+09:00", "9 Mar 2024 18:05"),
        ("2024-03-09", "9 Mar 2024"),
        ("2024-03", "March 2024"),
        ("0098", "98"),
    ],
)
def test_a_time_is_shown_in_its_own_zone_with_no_more_than_is_known(text: str, shown: str) -> None:
    assert clock.shown(Occurred.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("2024", "2024-01-01T00:00:00+01:00", "2025-01-01T00:00:00+01:00"),
        ("2024-02", "2024-02-01T00:00:00+01:00", "2024-03-01T00:00:00+01:00"),
        ("2024-12", "2024-12-01T00:00:00+01:00", "2025-01-01T00:00:00+01:00"),
        ("2024-02-29", "2024-02-29T00:00:00+01:00", "2024-03-01T00:00:00+01:00"),
        ("2024-02-29T10:00", "2024-02-29T10:00:00+01:00", "2024-02-29T10:00:00+01:00"),
        ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00+00:00", "2024-02-29T10:00:00+00:00"),
    ],
)
def test_what_is_typed_begins_and_ends(text: str, first: str, after: str) -> None:
    beginning, end = clock.beginning(text, ZONE), clock.end(text, ZONE)
    assert beginning is not None
    assert end is not None
    assert (beginning.isoformat(), end.isoformat()) == (first, after)


def test_what_is_not_typed_has_no_beginning_and_no_end() -> None:
    assert clock.beginning(None, ZONE) is None
    assert clock.end(None, ZONE) is None


def test_a_day_is_its_noon() -> None:
    assert clock.day("2026-02-28", ZONE) == datetime(2026, 2, 28, 12, tzinfo=ZONE)
    assert clock.day(None, ZONE).hour == 12
