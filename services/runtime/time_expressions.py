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
_AMBIGUOUS_MONTHS = _forms("march", "may")
_LEADING = _forms("last", "past", "next", "this", "previous", "coming", "following", "other", "for")
"""One of these is among the three words before a span."""
_APART = runs.table("_", lambda letter: letter if letter.isalnum() else " ")


def tells_time(text: str) -> bool:
    """Whether a text says when something happens or happened."""
    text = text.lower()
    # Of most texts the words tell without a search: in Latin-1 they are what the expression calls a word.
    found = runs.of(text, _APART)
    if _TIME_WORDS.isdisjoint(found):
        return False
    if runs.are_all(text):
        if not _TIMES.isdisjoint(found):
            return True
        if not any(_may_tell(found, at) for at, word in enumerate(found) if word in _TIME_WORDS):
            return False
    return _TIME_EXPRESSION.search(f" {text}") is not None


def _may_tell(words: list[bytes], at: int) -> bool:
    """Whether a word that needs others to tell a time has any of them before it."""
    return words[at] in _AMBIGUOUS_MONTHS or not _LEADING.isdisjoint(words[max(0, at - 3) : at])
