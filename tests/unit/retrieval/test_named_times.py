from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.named_times import EPOCH, YEARS_MEANT, named_times
from services.runtime.terms import TimeUnit

TODAY = date(2024, 3, 13)  # a Wednesday


def spans(text: str, today: date = TODAY) -> list[tuple[str, str, TimeUnit]]:
    return [
        (str(EPOCH + timedelta(first)), str(EPOCH + timedelta(last)), unit)
        for first, last, unit in named_times(text, today)
    ]


@pytest.mark.parametrize(
    "text",
    ["on 7 May 2023", "May 7, 2023", "the 7th of May, 2023", "2023-05-07", "May 7th 2023", "7 may 2023?"],
)
def test_a_day_is_read_in_every_usual_form(text: str) -> None:
    assert spans(text) == [("2023-05-07", "2023-05-07", TimeUnit.DAY)]


@pytest.mark.parametrize("text", ["May 2023", "in May, 2023", "in may of 2023"])
def test_a_month_is_read(text: str) -> None:
    assert spans(text) == [("2023-05-01", "2023-05-31", TimeUnit.MONTH)]


def test_a_year_is_read() -> None:
    assert spans("What happened in 2019?") == [("2019-01-01", "2019-12-31", TimeUnit.YEAR)]


@pytest.mark.parametrize(
    ("text", "first", "last", "unit"),
    [
        ("yesterday", "2024-03-12", "2024-03-12", TimeUnit.DAY),
        ("today", "2024-03-13", "2024-03-13", TimeUnit.DAY),
        ("three days ago", "2024-03-10", "2024-03-10", TimeUnit.DAY),
        ("two weeks ago", "2024-02-26", "2024-03-03", TimeUnit.DAY),
        ("last week", "2024-03-04", "2024-03-10", TimeUnit.DAY),
        ("last Friday", "2024-03-08", "2024-03-08", TimeUnit.DAY),
        ("last Wednesday", "2024-03-06", "2024-03-06", TimeUnit.DAY),
        ("last month", "2024-02-01", "2024-02-29", TimeUnit.MONTH),
        ("3 months ago", "2023-12-01", "2023-12-31", TimeUnit.MONTH),
        ("last year", "2023-01-01", "2023-12-31", TimeUnit.YEAR),
        ("a year ago", "2023-01-01", "2023-12-31", TimeUnit.YEAR),
    ],
)
def test_times_are_counted_back_from_the_persons_own_day(
    text: str, first: str, last: str, unit: TimeUnit
) -> None:
    assert spans(f"What did I do {text}?") == [(first, last, unit)]


def test_a_month_without_a_year_is_taken_in_each_of_the_last_years() -> None:
    months = spans("Where was I in May?")
    assert len(months) == YEARS_MEANT
    assert months[0] == ("2024-05-01", "2024-05-31", TimeUnit.MONTH)
    assert {first[5:] for first, _, _ in months} == {"05-01"}


def test_29_february_exists_in_leap_years_only() -> None:
    assert [first[:4] for first, _, _ in spans("on 29 February")][:3] == ["2024", "2020", "2016"]


@pytest.mark.parametrize(
    "text",
    ["It may rain", "we march on", "31 February 2023", "2023-13-40", "room 2310", "7/5/2023 12", "Jan's cat"],
)
def test_what_is_no_time_names_none(text: str) -> None:
    assert [unit for _, _, unit in spans(text) if unit != TimeUnit.YEAR] == []


@given(st.text(max_size=80), st.dates())
def test_any_text_on_any_day_names_spans_that_do_not_end_before_they_begin(text: str, today: date) -> None:
    for first, last, _ in named_times(text, today):
        assert first <= last


@given(
    st.sampled_from(
        ["999 years ago", "999 months ago", "999 weeks ago", "last week", "yesterday", "in june"]
    ),
    st.dates(max_value=date(3, 1, 1)),
)
def test_counting_back_stops_where_the_calendar_begins(text: str, today: date) -> None:
    for first, last, _ in named_times(text, today):
        assert first <= last


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31)))
def test_a_written_date_is_read_back(day: date) -> None:
    assert spans(f"{day:%d %B %Y}") == [(str(day), str(day), TimeUnit.DAY)]
    assert spans(day.isoformat()) == [(str(day), str(day), TimeUnit.DAY)]
