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
_AMBIGUOUS_MONTHS = _forms("march", "may")
_WITH_OTHERS = _AMBIGUOUS_MONTHS | _forms(*_SPANS.split("|"))
"""Each of these may be one, with other words around it."""
_LEADING = _forms("last", "past", "next", "this", "previous", "coming", "following", "other", "for")
"""One of these is among the three words before a span."""
_WESTERN = _TIMES | _WITH_OTHERS
"""In a text in Latin-1, each has one of these, whole."""
_TIME_WORDS = _WESTERN | _forms("19", "20", *map(str, range(190, 210)))
"""In any script, each has one of these: of a year's digits the last may be of another one."""
_APART = runs.table("_", lambda letter: letter if letter.isalnum() else " ")


def tells_time(text: str) -> bool:
    """Whether a text says when something happens or happened."""
    # Of most texts the words tell without a search.
    text = text.lower()
    return not _TIME_WORDS.isdisjoint(runs.of(text, _APART)) and _is_found(text)


class Clues:
    """Which runs of letters, digits and apostrophes that were seen have a part in telling a time.

    Most texts tell by them, without being searched, that they tell none. A run counts as each word in it.
    """

    __slots__ = ("_alone", "_ambiguous", "_any", "_leading")

    def __init__(self) -> None:
        self._any: set[bytes] = set()
        self._alone: set[bytes] = set()
        self._ambiguous: set[bytes] = set()
        self._leading: set[bytes] = set()

    def add(self, run: bytes) -> None:
        """Learns of a run."""
        words = run.split(b"'")
        if not _LEADING.isdisjoint(words):
            self._leading.add(run)
        if _WESTERN.isdisjoint(words):
            return
        self._any.add(run)
        if not _TIMES.isdisjoint(words):
            self._alone.add(run)
        if not _AMBIGUOUS_MONTHS.isdisjoint(words):
            self._ambiguous.add(run)

    def tell_time(self, text: str, found: list[bytes]) -> bool:
        """What `tells_time` says of a text that has nothing beyond Latin-1 but apostrophes.

        `found` are its runs, without accents, in order. All of them have been added before.
        """
        if self._any.isdisjoint(found):
            return False
        if "_" in text:  # It joins words, but no runs.
            return _is_found(text.lower())
        if self._alone.isdisjoint(found):
            return self._may_tell(found) and _is_found(text.lower())
        # What an accent was taken off may be another word.
        return text.isascii() or not _TIMES.isdisjoint(runs.of(text, _APART)) or _is_found(text.lower())

    def _may_tell(self, found: list[bytes]) -> bool:
        """Whether any word that needs others to tell a time has one of them before it."""
        for at, run in enumerate(found):
            if run in self._any:
                before = found[max(0, at - 3) : at]
                if run in self._ambiguous or not self._leading.isdisjoint(before):
                    return True
        return False


def _is_found(lower: str) -> bool:
    return _TIME_EXPRESSION.search(f" {lower}") is not None
