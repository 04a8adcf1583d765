"""How well memories fit the times that a question names.

People tell of a day for some time after it, so a memory fits a named day from one day before to ten days
after it, and a named month fully inside it and by half for seventeen days after. What is only known to the
year fits named years.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.runtime.terms import NamedTime, TimeUnit
from services.storage.segment import Segment

Days = npt.NDArray[np.int32]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FitRule:
    """The constants of the fit."""

    days_before: int = 1
    days_after: int = 10
    """From how many days before a named day to how many after it a memory fits."""
    days_after_month: int = 17
    after_month: float = 0.5
    """How well it fits in so many days after a named month."""
    longest: int = 31
    """Days that a memory may span to fit a named day or month."""


def fit_of(segment: Segment, times: Sequence[NamedTime], rule: FitRule) -> npt.NDArray[np.float32]:
    """Return 0 to 1 for each living memory, in reading order: how well it fits the best of the named
    times."""
    fit = np.zeros(len(segment), np.float32)
    if not times:
        return fit
    first, last = segment.rows.first_days[segment.order], segment.rows.last_days[segment.order]
    fit[_touch(first, last, _after_months(times, rule))] = rule.after_month
    fit[_touch(first, last, _days_and_months(times, rule))] = 1
    fit[last - first > rule.longest] = 0
    fit[
        _touch(first, last, [(time.first_day, time.last_day) for time in times if time.unit == TimeUnit.YEAR])
    ] = 1
    return fit


def _days_and_months(times: Sequence[NamedTime], rule: FitRule) -> list[Span]:
    days = [time for time in times if time.unit == TimeUnit.DAY]
    months = [time for time in times if time.unit == TimeUnit.MONTH]
    return [
        *((time.first_day - rule.days_before, time.last_day + rule.days_after) for time in days),
        *((time.first_day, time.last_day) for time in months),
    ]


def _after_months(times: Sequence[NamedTime], rule: FitRule) -> list[Span]:
    return [
        (time.last_day + 1, time.last_day + rule.days_after_month)
        for time in times
        if time.unit == TimeUnit.MONTH
    ]


def _touch(first: Days, last: Days, spans: Iterable[Span]) -> npt.NDArray[np.bool_]:
    """Return which memories, from `first` to `last`, share a day with one of the spans."""
    apart = _merged(spans)
    if not apart:
        return np.zeros(len(first), np.bool_)
    starts, ends = np.array(apart).T
    at = np.minimum(np.searchsorted(ends, first), len(ends) - 1)
    return np.asarray((ends[at] >= first) & (starts[at] <= last))


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same days as spans that do not touch each other, ascending."""
    apart: list[Span] = []
    for start, end in sorted(spans):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart
