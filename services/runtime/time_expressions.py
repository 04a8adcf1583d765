"""Times that a text names in English: "last Friday", "in 2019", "two weeks ago"."""

import re

from services.runtime import runs

_SEASONS = ("spring", "summer", "autumn", "fall", "winter", "semester", "term")
_SPAN_NAMES = (
    "day", "night", "morning", "afternoon", "evening", "week", "weekend", "month", "year", "decade",
)  # fmt: skip
_DAY_NAMES = tuple(f"{name}day" for name in ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun"))
# March and May may mean something else.
_TIME_NAMES = (
    "yesterday", "today", "tonight", "tomorrow", "recently", "ago",
    "january", "february", "april", "june", "july", "august", "september", "october", "november", "december",
    *(f"{name}s?" for name in _DAY_NAMES),
)  # fmt: skip
_SPANS = "|".join((*(f"{name}s?" for name in _SPAN_NAMES), *_SEASONS))
# What is before a word is matched, not looked back at: so the search leaps from one word to the next.
_TIME_EXPRESSION = re.compile(
    rf"\W(?:{'|'.join(_TIME_NAMES)}|(?:19|20)\d\d"
    rf"|(?:last|past|next|this|previous|coming|following)\s+(?:few\s+|couple\s+of\s+)?(?:{_SPANS}|march|may)"
    rf"|(?:in|on|since|until|by|early|late|mid)\s+(?:march|may)|(?:march|may)\s+\d|\d\s+(?:march|may)"
    rf"|(?:{_SPANS})\s+ago"
    rf"|(?:the\s+)?(?:other|following|next)\s+day"
    rf"|for\s+(?:\w+\s+){{1,2}}(?:{_SPANS}))\b"
)


def _forms(*patterns: str) -> frozenset[bytes]:
    """The words that patterns with nothing but an "s?" at the end stand for."""
    return frozenset(pattern.replace("s?", s).encode() for pattern in patterns for s in ("", "s"))


_TIMES = _forms(*_TIME_NAMES, *map(str, range(1900, 2100)))
"""Each of these words, whole, is such an expression."""
_TIME_WORDS = _TIMES | _forms(*_SPANS.split("|"), "march", "may", "19", "20", *map(str, range(190, 210)))
"""Every such expression has one of these, whole; of a year's digits the last may be of another script."""
_APART = runs.table("_")


def tells_time(text: str) -> bool:
    """Whether a text says when something happens or happened."""
    text = text.lower()
    # Most texts hold none of the words without which there is no such expression, or one that is enough.
    found = runs.of(text, _APART)
    if _TIME_WORDS.isdisjoint(found):
        return False
    if text.isascii() and not _TIMES.isdisjoint(found):
        return True
    return _TIME_EXPRESSION.search(f" {text}") is not None
