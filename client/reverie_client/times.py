"""When something happened: an instant, or as much of a date as is known, in the person's own time."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_NONE = timedelta(0)
_WIDEST_OFFSET = timedelta(hours=18)
_COARSE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:[Zz]|[+-]\d{2}:\d{2})?")
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")


class Precision(StrEnum):
    """How exactly a time is known."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class Occurred:
    """A time with its UTC offset and how exactly it is known.

    A coarse one is held as its first instant: March 2024 as the first of March, midnight, in the person's
    own time. ValueError if `at` has no UTC offset.
    """

    at: datetime
    precision: Precision = Precision.INSTANT

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"{self.at.isoformat()} has no UTC offset: give it a tzinfo")

    @staticmethod
    def parse(text: str, zone: tzinfo | None = None) -> "Occurred":
        """Reads "2024-03-09T18:20:00+01:00", "2024-03-09", "2024-03" or "2024".

        `zone` is whose day, month or year it is, and the offset of an instant that states none; without it a
        coarse time is in UTC, and an instant without an offset a ValueError.
        """
        coarse, instant = _COARSE.fullmatch(text), _INSTANT.fullmatch(text)
        if not coarse and not instant:
            raise ValueError(
                f'{text!r} is no time: write "2024-03-09T18:20:00+01:00", "2024-03-09" or "2024-03"'
            )
        try:
            return _parse_coarse(coarse, zone or UTC) if coarse else _parse_instant(text, zone)
        except ValueError as wrong:
            raise ValueError(f"{text!r} is no time: {wrong}") from None

    @staticmethod
    def of(when: "When") -> "Occurred":
        """The same, of whatever may stand for a time: a date is a day in UTC."""
        if isinstance(when, Occurred):
            return when
        if isinstance(when, datetime):
            return Occurred(when)
        return Occurred(datetime(when.year, when.month, when.day, tzinfo=UTC), Precision.DAY)

    def isoformat(self) -> str:
        """The text that `parse` reads, with no more of it than is known."""
        if self.precision is Precision.INSTANT:
            return self.at.isoformat()
        lengths = {Precision.YEAR: 4, Precision.MONTH: 7, Precision.DAY: 10}
        return self.at.isoformat()[: lengths[self.precision]]


When = Occurred | datetime | date
"""What may stand for a time. A `datetime` must have a UTC offset; a `date` is a day in UTC."""


def instant_of(when: When) -> tuple[datetime, Precision]:
    """The instant of whatever may stand for a time, and how exactly it is known.

    ValueError if it has no UTC offset.
    """
    if not isinstance(when, datetime):
        occurred = Occurred.of(when)
        return occurred.at, occurred.precision
    if when.tzinfo is None:
        raise ValueError(f"{when.isoformat()} has no UTC offset: give it a tzinfo")
    return when, Precision.INSTANT


def microseconds(at: datetime) -> int:
    """Microseconds from 1970 to an instant, which has a UTC offset."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def parse_offset(text: str) -> timezone:
    """Reads a UTC offset such as "+01:00" or "Z". ValueError beyond 18 hours."""
    if text in {"Z", "z"}:
        return UTC
    if not (match := _OFFSET.fullmatch(text)) or int(match[3]) >= 60:
        raise ValueError(f'{text!r} is no UTC offset: write "+01:00" or "Z"')
    size = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if size > _WIDEST_OFFSET:
        raise ValueError(f"{text!r} is no UTC offset: it is at most 18 hours")
    return timezone(-size if match[1] == "-" else size)


def offset_of(at: datetime) -> timedelta:
    """Its UTC offset in whole minutes: before standard time they had seconds, which Reverie does not keep."""
    offset = at.utcoffset()
    return round(offset / _MINUTE) * _MINUTE if offset else _NONE


def to_timestamp(at: datetime) -> Timestamp:
    """The instant as a message. ValueError if it has no UTC offset."""
    stamp = Timestamp()
    fill_timestamp(stamp, at)
    return stamp


def fill_timestamp(stamp: Timestamp, at: datetime) -> None:
    """Makes an empty message the instant. ValueError if it has no UTC offset."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no UTC offset: give it a tzinfo")
    since = at - _EPOCH
    stamp.seconds = since.days * 86_400 + since.seconds
    stamp.nanos = since.microseconds * 1000


def from_timestamp(stamp: Timestamp, offset: timedelta = timedelta(0)) -> datetime:
    """The instant by a clock that is `offset` ahead of UTC."""
    at = _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    return at.astimezone(timezone(offset)) if offset else at


def _parse_coarse(match: re.Match[str], zone: tzinfo) -> Occurred:
    year, month, day = match.groups()
    precision = Precision.DAY if day else Precision.MONTH if month else Precision.YEAR
    return Occurred(datetime(int(year), int(month or 1), int(day or 1), tzinfo=zone), precision)


def _parse_instant(text: str, zone: tzinfo | None) -> Occurred:
    at = datetime.fromisoformat(text.upper())
    if at.tzinfo is not None:
        return Occurred(at)
    if zone is None:
        raise ValueError('it has no UTC offset: end it with "Z" or "+01:00"')
    return Occurred(at.replace(tzinfo=zone))
