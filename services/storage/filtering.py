"""Which memories a search may return."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.storage.segment import Mask, Segment


@dataclass(frozen=True, slots=True)
class Filter:
    """Which memories may be returned: those that meet everything that is set. Letter case matters."""

    start: int | None = None
    """The first microsecond since 1970-01-01 UTC that is inside."""
    end: int | None = None
    """The first one after it."""
    kinds: Sequence[int] = ()
    """Any of these."""
    labels: Sequence[str] = ()
    """All of these."""
    people: Sequence[str] = ()
    """All of these."""
    speaker: str = ""
    conversation: str = ""


EVERYTHING = Filter()


def passes(segment: Segment, only: Filter) -> Mask:
    """Return which living memories, in reading order, meet the filter."""
    if only == EVERYTHING:
        return np.ones(len(segment), np.bool_)
    rows, order = segment.rows, segment.order
    inside = np.ones(segment.count, np.bool_)
    times = rows.times[: segment.count]
    if only.start is not None:
        inside &= times >= only.start
    if only.end is not None:
        inside &= times < only.end
    if only.kinds:
        inside &= np.isin(rows.kinds[: segment.count], only.kinds)
    if only.speaker:
        inside &= rows.speakers[: segment.count] == rows.speaker_codes.find(only.speaker)
    if only.conversation:
        inside &= rows.conversations[: segment.count] == rows.conversation_codes.find(only.conversation)
    for tag in (*("l" + label for label in only.labels), *("p" + person for person in only.people)):
        inside &= segment.tagged(tag)
    return inside[order]
