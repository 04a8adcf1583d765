"""Days of a person's life: which day it is for them, and which days of the year to look back on."""

from calendar import isleap
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import IntEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST = datetime(1, 1, 3, tzinfo=UTC)
LATEST = datetime(9999, 12, 29, tzinfo=UTC)
"""No time zone moves an instant between the two out of the calendar."""


class LeapDay(IntEnum):
    """Where 29 February goes in a year without one; the numbers of the contract."""

    UNSPECIFIED = 0
    FEBRUARY_28 = 1
    MARCH_1 = 2
    STRICT = 3


class DayOfYear(NamedTuple):
    """A day that comes every year, or every leap year."""

    month: int
    day: int


def local_day(seconds: int, zone: tzinfo) -> date:
    """Return the day on which an instant (seconds since 1970, `EARLIEST` to `LATEST`) falls in a zone."""
    return (EPOCH + timedelta(seconds=seconds)).astimezone(zone).date()


def time_zone(name: str) -> tzinfo | None:
    """Return the time zone of an IANA name, UTC for none; None if there is no such zone."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def days_like(day: date, leap_day: LeapDay) -> list[DayOfYear]:
    """Return the days of the year that are remembered on a day.

    29 February is remembered on itself; in a common year, which has none, on the day that `leap_day` says.
    """
    days = [DayOfYear(day.month, day.day)]
    if not isleap(day.year) and days[0] == _STAND_INS.get(leap_day):
        days.append(DayOfYear(2, 29))
    return days


_STAND_INS = {
    LeapDay.UNSPECIFIED: DayOfYear(2, 28),
    LeapDay.FEBRUARY_28: DayOfYear(2, 28),
    LeapDay.MARCH_1: DayOfYear(3, 1),
}
