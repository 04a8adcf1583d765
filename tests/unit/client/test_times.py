from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from reverie_client.times import (
    Occurred,
    Precision,
    from_timestamp,
    offset_of,
    parse_offset,
    to_timestamp,
)

LISBON_SUMMER = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "at", "precision"),
    [
        ("2024-03-09T18:20:00+01:00", datetime(2024, 3, 9, 18, 20, tzinfo=LISBON_SUMMER), Precision.INSTANT),
        ("2024-03-09T17:20Z", datetime(2024, 3, 9, 17, 20, tzinfo=UTC), Precision.INSTANT),
        (
            "2024-03-09 17:20:05.000001z",
            datetime(2024, 3, 9, 17, 20, 5, 1, tzinfo=UTC),
            Precision.INSTANT,
        ),
        ("2024-03-09", datetime(2024, 3, 9, tzinfo=UTC), Precision.DAY),
        ("2024-03", datetime(2024, 3, 1, tzinfo=UTC), Precision.MONTH),
        ("1998", datetime(1998, 1, 1, tzinfo=UTC), Precision.YEAR),
    ],
)
def test_a_time_is_read_with_as_much_as_it_says(text: str, at: datetime, precision: Precision) -> None:
    assert Occurred.parse(text) == Occurred(at, precision)


def test_a_coarse_time_begins_in_the_persons_own_zone() -> None:
    occurred = Occurred.parse("2024-03", LISBON_SUMMER)
    assert occurred.at.isoformat() == "2024-03-01T00:00:00+01:00"
    assert occurred.isoformat() == "2024-03"


def test_an_instant_without_offset_takes_the_zone_that_is_given() -> None:
    assert Occurred.parse("2024-03-09T18:20", LISBON_SUMMER).at.isoformat() == "2024-03-09T18:20:00+01:00"


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "24-03-09", "2024-13", "2024-02-30", "2024-03-09T25:00Z",
     "2024-03-09T18:20:00.1234567Z", "2024-03-09T18:20:00", "2024-W10", "20240309",
     "2024-03-09T18:20:00+1", "0000"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text differs, the promise is the type
        Occurred.parse(text)


@pytest.mark.parametrize("text", ["2024-03-09T18:20:00+01:00", "2024-03-09", "2024-03", "1998"])
def test_isoformat_gives_back_what_was_read(text: str) -> None:
    assert Occurred.parse(text).isoformat() == text


def test_a_time_without_offset_is_refused_where_it_is_given() -> None:
    with pytest.raises(ValueError, match="no UTC offset"):
        Occurred(datetime(2024, 3, 9))  # noqa: DTZ001
    with pytest.raises(ValueError, match="no UTC offset"):
        to_timestamp(datetime(2024, 3, 9))  # noqa: DTZ001


def test_a_date_is_a_day() -> None:
    assert Occurred.of(date(2024, 3, 9)) == Occurred(datetime(2024, 3, 9, tzinfo=UTC), Precision.DAY)


@pytest.mark.parametrize(
    ("text", "minutes"), [("Z", 0), ("+01:00", 60), ("-03:30", -210), ("+18:00", 1080), ("+00:00", 0)]
)
def test_an_offset_is_read(text: str, minutes: int) -> None:
    assert parse_offset(text) == timezone(timedelta(minutes=minutes))


@pytest.mark.parametrize("text", ["", "1:00", "+18:01", "+01:60", "UTC", "+0100"])
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no UTC offset"):
        parse_offset(text)


def test_offsets_before_standard_time_are_rounded_to_minutes() -> None:
    assert offset_of(datetime(1900, 6, 1, tzinfo=ZoneInfo("Europe/Lisbon"))) == timedelta(minutes=-37)


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 3, 9, 18, 20, 0, 123_456, tzinfo=LISBON_SUMMER),
        datetime(9999, 12, 30, tzinfo=timezone(timedelta(hours=-18))),
    ],
)
def test_a_timestamp_holds_the_instant_to_the_microsecond(at: datetime) -> None:
    back = from_timestamp(to_timestamp(at), offset_of(at))
    assert back == at
    assert back.utcoffset() == at.utcoffset()
