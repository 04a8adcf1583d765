"""Promises about days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query import days
from services.query.days import LeapDay, days_like, local_day, time_zone

LEAP, COMMON = 2024, 2023


@pytest.mark.parametrize(
    ("day", "rule", "expected"),
    [
        (date(COMMON, 2, 28), LeapDay.UNSPECIFIED, [(2, 28), (2, 29)]),
        (date(COMMON, 2, 28), LeapDay.FEBRUARY_28, [(2, 28), (2, 29)]),
        (date(COMMON, 2, 28), LeapDay.MARCH_1, [(2, 28)]),
        (date(COMMON, 2, 28), LeapDay.STRICT, [(2, 28)]),
        (date(COMMON, 3, 1), LeapDay.MARCH_1, [(3, 1), (2, 29)]),
        (date(COMMON, 3, 1), LeapDay.UNSPECIFIED, [(3, 1)]),
        (date(LEAP, 2, 28), LeapDay.FEBRUARY_28, [(2, 28)]),
        (date(LEAP, 2, 29), LeapDay.STRICT, [(2, 29)]),
        (date(LEAP, 3, 1), LeapDay.MARCH_1, [(3, 1)]),
        (date(1900, 2, 28), LeapDay.FEBRUARY_28, [(2, 28), (2, 29)]),
        (date(2000, 2, 28), LeapDay.FEBRUARY_28, [(2, 28)]),
    ],
)
def test_29_february_goes_where_it_is_asked_to(
    day: date, rule: LeapDay, expected: list[tuple[int, int]]
) -> None:
    assert days_like(day, rule) == expected


@pytest.mark.parametrize("year", [COMMON, LEAP])
@pytest.mark.parametrize("rule", [rule for rule in LeapDay if rule != LeapDay.STRICT])
def test_every_day_of_the_year_is_remembered_exactly_once_a_year(year: int, rule: LeapDay) -> None:
    first = date(year, 1, 1)
    shown = [
        like
        for number in range((date(year + 1, 1, 1) - first).days)
        for like in days_like(first + timedelta(days=number), rule)
    ]
    assert len(shown) == len(set(shown)) == 366


def test_an_instant_falls_on_another_day_elsewhere() -> None:
    seconds = int(datetime(2024, 5, 7, 23, 30, tzinfo=UTC).timestamp())
    assert local_day(seconds, UTC) == date(2024, 5, 7)
    assert local_day(seconds, ZoneInfo("Asia/Tokyo")) == date(2024, 5, 8)
    assert local_day(seconds, ZoneInfo("America/New_York")) == date(2024, 5, 7)


@given(
    st.integers(
        int((days.EARLIEST - days.EPOCH).total_seconds()), int((days.LATEST - days.EPOCH).total_seconds())
    ),
    st.sampled_from(["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata"]),
)
def test_every_instant_that_is_let_in_has_a_day_everywhere(seconds: int, zone: str) -> None:
    assert abs((local_day(seconds, ZoneInfo(zone)) - local_day(seconds, UTC)).days) <= 1


def test_time_zones_go_by_their_iana_names() -> None:
    assert time_zone("") is UTC
    assert time_zone("Europe/Lisbon") == ZoneInfo("Europe/Lisbon")
    assert "Europe/Lisbon" in available_timezones()


@pytest.mark.parametrize(
    "name", ["Nowhere", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 5_000, " "]
)
def test_what_is_no_time_zone_is_told(name: str) -> None:
    assert time_zone(name) is None
