"""The times that a question names: days, months and years, as spans of days.

    named_times("What did I do on 7 May 2023?", today)  ->  [NamedTime(19484, 19484, TimeUnit.DAY)]

It reads "7 May 2023", "May 7th", "2023-05-07", "May 2023", "in May", "2019", "yesterday", "two weeks ago",
"last month", "last Friday". A day or month without a year is taken in each of the last thirty years. English
only; figures such as 7/5/2023 are left alone, as nobody knows which of them is the month.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from services.runtime.terms import MONTHS, WEEKDAYS, NamedTime, TimeUnit

YEARS_MEANT = 30
"""A day or month without a year is taken in so many years, the present one the last."""

EPOCH = date(1970, 1, 1)


def named_times(text: str, today: date) -> list[NamedTime]:
    """Return the times that a question names; `today` is the person's own day.

    What is no day of the calendar ("31 February") is passed over.
    """
    found: list[NamedTime] = []
    rest = text.lower()
    for pattern, read in _READERS:
        for match in pattern.finditer(rest):
            found += read(match, today)
        rest = pattern.sub(" ; ", rest)
    return found


def _full_date(match: re.Match[str], _today: date) -> Iterator[NamedTime]:
    yield from _day(int(match["year"]), int(match["month"]), int(match["day"]))


def _day_of_month(match: re.Match[str], today: date) -> Iterator[NamedTime]:
    for year in _years(match["year"], today):
        yield from _day(year, _month_number(match["month"]), int(match["day"]))


def _named_month(match: re.Match[str], today: date) -> Iterator[NamedTime]:
    for year in _years(match.groupdict().get("year"), today):
        yield _month(year, _month_number(match["month"]))


def _named_year(match: re.Match[str], _today: date) -> Iterator[NamedTime]:
    yield _year(int(match["year"]))


def _ago(match: re.Match[str], today: date) -> Iterator[NamedTime]:
    number = _NUMBERS.get(match["number"]) or int(match["number"])
    yield from _back(number, match["unit"], today)


def _near(match: re.Match[str], today: date) -> Iterator[NamedTime]:
    yield from _back(_DAYS_BACK[match["word"]], "day", today)


def _last_weekday(match: re.Match[str], today: date) -> Iterator[NamedTime]:
    weekday = WEEKDAYS.index(match["weekday"].capitalize())
    yield from _back((today.weekday() - weekday) % 7 or 7, "day", today)


def _last_or_this(match: re.Match[str], today: date) -> Iterator[NamedTime]:
    yield from _back(int(match["which"] != "this"), match["unit"], today)


def _back(number: int, unit: str, today: date) -> Iterator[NamedTime]:
    """Yield what lies so many days, weeks, months or years back; nothing before the calendar begins."""
    months = today.year * 12 + today.month - 1 - number
    if unit == "year" and today.year > number:
        yield _year(today.year - number)
    elif unit == "month" and months >= 12:
        yield _month(months // 12, months % 12 + 1)
    elif unit == "week" and today.toordinal() > 7 * (number + 1):
        monday = today - timedelta(days=today.weekday() + 7 * number)
        yield _span(monday, monday + timedelta(days=6), TimeUnit.DAY)
    elif unit == "day" and today.toordinal() > number:
        yield from _day(*(today - timedelta(days=number)).timetuple()[:3])


def _day(year: int, month: int, day: int) -> Iterator[NamedTime]:
    """Yield the day, if the calendar has it."""
    if year and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]:
        yield _span(date(year, month, day), date(year, month, day), TimeUnit.DAY)


def _month(year: int, month: int) -> NamedTime:
    return _span(date(year, month, 1), date(year, month, monthrange(year, month)[1]), TimeUnit.MONTH)


def _year(year: int) -> NamedTime:
    return _span(date(year, 1, 1), date(year, 12, 31), TimeUnit.YEAR)


def _span(first: date, last: date, unit: TimeUnit) -> NamedTime:
    return NamedTime((first - EPOCH).days, (last - EPOCH).days, unit)


def _years(named: str | None, today: date) -> list[int]:
    if named:
        return [int(named)]
    return [today.year - back for back in range(YEARS_MEANT) if today.year > back]


def _month_number(name: str) -> int:
    return next(number for number, month in enumerate(MONTHS, 1) if month.lower().startswith(name[:3]))


_DAYS_BACK = {"today": 0, "this morning": 0, "tonight": 0, "yesterday": 1, "last night": 1}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
_NUMBERS |= {"eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12}

_LONG = "|".join(month.lower() for month in MONTHS)
_ANY = rf"(?P<month>{_LONG}|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b)\.?"
# "may" and "march" are words: alone they are months only where the words before say so.
_CLEAR = "|".join(month.lower() for month in MONTHS if month not in {"March", "May"})
_LEADING = "in|of|during|since|until|by|early|late|mid|last|this"
_OF_YEAR = r"(?P<year>(?:19|20)\d\d)\b"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_SPAN = r"(?P<unit>day|week|month|year)"

_Reader = Callable[[re.Match[str], date], Iterator[NamedTime]]
_READERS: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (re.compile(r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)\b"), _full_date),
    (re.compile(rf"\b{_DAY}(?:\s+of)?\s+{_ANY}(?:,?\s+{_OF_YEAR})?\b"), _day_of_month),
    (re.compile(rf"\b{_ANY}\s+(?:the\s+)?{_DAY}\b(?:,?\s+{_OF_YEAR})?"), _day_of_month),
    (re.compile(rf"\b{_ANY},?\s+(?:of\s+)?{_OF_YEAR}"), _named_month),
    (re.compile(rf"\b(?:{_LEADING})\s+(?P<month>may|march)\b"), _named_month),
    (re.compile(rf"\b(?P<month>{_CLEAR})\b"), _named_month),
    (re.compile(rf"\b{_OF_YEAR}"), _named_year),
    (re.compile(rf"\b(?P<number>\d{{1,3}}|{'|'.join(_NUMBERS)})\s+{_SPAN}s?\s+ago\b"), _ago),
    (re.compile(rf"\b(?P<word>{'|'.join(_DAYS_BACK)})\b"), _near),
    (re.compile(rf"\b(?:last|on)\s+(?P<weekday>{'|'.join(WEEKDAYS).lower()})\b"), _last_weekday),
    (re.compile(r"\b(?P<which>last|previous|this)\s+(?P<unit>week|month|year)\b"), _last_or_this),
)  # fmt: skip
