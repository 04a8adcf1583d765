"""Words of a memory and of a question, reduced to numbers that can be compared.

    terms_and_traits("I left last week.")     ->  4 bytes for each word that counts, Trait.TIME_EXPRESSION
    question_terms("When did she get cats?")  ->  [Term("cats", "cat", ..)]

A word is lower-cased, freed of accents and English endings (Snowball), and hashed to 32 bits; words that say
nothing ("the", "did") are left out. Chinese characters and kana count one by one and in pairs of neighbours.
Stored terms can only be compared with terms of the same `ANALYZER`: PostgreSQL, for one, splits and stems a
little differently.

Everything here is a pure function; the caches of words are bounded and may be used from several threads.
"""

import re
import unicodedata
import zlib
from collections.abc import Sequence
from datetime import date
from enum import IntEnum, IntFlag
from functools import lru_cache
from threading import get_ident
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from services.runtime import runs
from services.runtime.time_expressions import Clues, tells_time

if TYPE_CHECKING:
    from Stemmer import Stemmer

ANALYZER = 1
"""Version of the way from text to terms and traits. Raise it when any text would give others, and analyse
anew."""

MAX_WORD = 64
"""Characters of a word that count; what follows is ignored, in memories and questions alike."""


class Precision(IntEnum):
    """How exactly it is known when a memory happened; the numbers of `OccurredPrecision` in the contract."""

    UNSPECIFIED = 0
    YEAR = 1
    MONTH = 2
    DAY = 3
    INSTANT = 4


class TimeUnit(IntEnum):
    """What sort of span a question names; the numbers of `NamedTimeUnit` in the contract."""

    DAY = 1
    MONTH = 2
    YEAR = 3


class NamedTime(NamedTuple):
    """A span of time that a question names: first and last day, since 1970-01-01 in the person's own
    calendar."""

    first_day: int
    last_day: int
    unit: TimeUnit


class Trait(IntFlag):
    """What ranking wants to know of a memory's text beyond its words; stored as a smallint beside the
    terms."""

    TIME_EXPRESSION = 1
    """It says when something happens or happened: "last Friday", "in 2019", "two weeks ago"."""
    QUESTION = 2
    """It asks: what it says ends with a question mark."""


class Term(NamedTuple):
    """One word of a question: as written, as stemmed, as hashed (0 to 2**32 - 1)."""

    word: str
    stem: str
    hash: int


def terms_and_traits(
    text: str,
    occurred_on: date | None = None,
    precision: int = Precision.DAY,
    *,
    place: str = "",
    people: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> tuple[bytes, Trait]:
    """Return the terms of a memory, and what ranking wants to know of its text beyond its words.

    Terms are little-endian uint32 hashes in order, a repeated word repeated. Besides the text they cover the
    local date in words, as far as `precision` knows it ("7 May 2023 Sunday"), the place, the people and the
    labels. The speaker is not among them: ranking keeps it apart.
    """
    terms, has_time = _analysed(text)
    terms += _date_terms(occurred_on, precision)
    if place or people or labels:
        terms += b"".join([_analysed(other)[0] for other in (place, *people, *labels)])
    return terms, _TRAITS[has_time, text.rstrip(_CLOSING).endswith(_QUESTION_MARKS)]


def question_terms(text: str) -> list[Term]:
    """Return the terms of a question in order, a repeated one repeated, without words that say nothing."""
    return [Term(word, stem, term_hash(stem)) for word in words(text) for stem in stems(word)]


def date_in_words(day: date | None, precision: int) -> str:
    """Return "7 May 2023 Sunday", "May 2023", "2023" or "", as exact as `precision` allows."""
    if day is None:
        return ""
    if precision == Precision.YEAR:
        return str(day.year)
    if precision == Precision.MONTH:
        return f"{MONTHS[day.month - 1]} {day.year}"
    return f"{day.day} {MONTHS[day.month - 1]} {day.year} {WEEKDAYS[day.weekday()]}"


def words(text: str) -> list[str]:
    """Split a text into lower-case words without accents; "don't" and "7th" come out as one word each."""
    if not text.isascii():
        text = _plain(text)
    return _WORD.findall(text.lower())


def stems(word: str) -> tuple[str, ...]:
    """Return what a word of `words` counts as: nothing, one stem, or several in scripts without spaces."""
    word = word[:MAX_WORD]
    if not word.isascii() and _UNSPACED.search(word):
        return tuple(_characters_and_pairs(word))
    bare = _ENDING.sub("", word) if "'" in word else word
    if bare in STOP_WORDS or bare.endswith("n't"):
        return ()
    ordinal = _ORDINAL.fullmatch(bare)
    return (ordinal[1] if ordinal else _stemmer(get_ident()).stemWord(bare),)


def term_hash(stem: str) -> int:
    """Return the hash of a stem: CRC-32 of its UTF-8 bytes, alike on every machine."""
    return zlib.crc32(stem.encode())


def _analysed(text: str) -> tuple[bytes, bool]:
    """The terms of a text, and whether it tells a time."""
    # Words are found in runs of what they are made of: to cut those out takes a fifth of the time.
    found = runs.of(text, _APART) if text.isascii() else _western(text)
    if found is None:
        return _beyond(text), tells_time(text)
    known = _Known.latest
    terms = b"".join(map(known.__getitem__, found))
    return terms, known.clues.tell_time(text, found)


def _western(text: str) -> list[bytes] | None:
    """The runs of a text in which accents are all that is beyond ASCII; None of any other."""
    try:
        encoded = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").encode("latin-1")
    except UnicodeEncodeError:
        return None
    bare = encoded.translate(_WITHOUT_ACCENTS)
    return None if _MORE in bare else bare.split()


def _beyond(text: str) -> bytes:
    """The terms of a text of any script."""
    text = _plain(text)
    known = _Known.latest
    if text.isascii() or not _BEYOND_ASCII.search(text):
        return b"".join(map(known.__getitem__, runs.of(text, _APART)))
    return b"".join([known[word.encode()] for word in _WORD.findall(text.lower())])


class _Known(dict[bytes, bytes]):
    """The terms of runs of letters, digits and apostrophes in lower case, remembered up to a bound.

    `lru_cache` keeps its entries in the order of their use: with many of them each look-up takes three times
    as long.
    """

    latest: ClassVar["_Known"]
    """Where the next text looks. It looks in this one to its end: none ever forgets, a new one takes over."""

    def __init__(self) -> None:
        self.clues = Clues()

    def __missing__(self, run: bytes) -> bytes:
        if len(self) >= _REMEMBERED_RUNS:
            _Known.latest = _Known()
        self.clues.add(run)
        found = (stem for word in _WORD.findall(run.decode()) for stem in stems(word))
        terms = self[run] = b"".join(term_hash(stem).to_bytes(4, "little") for stem in found)
        return terms


_Known.latest = _Known()
_REMEMBERED_RUNS = 65_536


@lru_cache(maxsize=4_096)
def _date_terms(day: date | None, precision: int) -> bytes:
    return _analysed(date_in_words(day, precision))[0]


@lru_cache(maxsize=64)
def _stemmer(_thread: int) -> "Stemmer":
    # One for each thread: a stemmer works in a buffer of its own. To keep what it found takes it longer.
    from Stemmer import Stemmer

    return Stemmer("english", 0)


def _plain(text: str) -> str:
    """Straighten quotes, unify width, and take accents off Latin, Greek and Cyrillic letters."""
    apart = unicodedata.normalize("NFKD", text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    bare = _ACCENTS.sub("", apart)
    return bare if bare.isascii() else unicodedata.normalize("NFKC", bare)


def _without_accent(letter: str) -> str:
    """What a character of Latin-1 is without an accent; `_MORE` if that is not one character of ASCII."""
    bare = _plain(letter).lower()
    if not any(each.isalnum() for each in bare):
        return " "
    return bare if len(bare) == 1 and bare.isascii() else _MORE.decode("latin-1")


def _characters_and_pairs(word: str) -> list[str]:
    pieces: list[str] = []
    for run in _RUN.findall(word):
        if _UNSPACED.match(run):
            pieces += [*run, *(run[at : at + 2] for at in range(len(run) - 1))]
        else:
            pieces.append(run)
    return pieces


MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_ARTICLES_AND_PRONOUNS = """
a an the i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his
himself she her hers herself it its itself they them their theirs themselves this that these those there
here who whom whose which what when where why how one
"""
_HELPING_VERBS = """
am is are was were be been being have has had having do does did doing done will would shall should can
could might must ought get got gets cannot im ive id youre dont didnt doesnt isnt wasnt cant wont thats
whats
"""
_JOINING_WORDS = """
and or but nor if then else than because as until while of at by for with about against between into
through during before after above below to from up down in out on off over under again further once so
such both each few more most other some any all no not only own same too very just also now s t
"""
STOP_WORDS = frozenset(f"{_ARTICLES_AND_PRONOUNS} {_HELPING_VERBS} {_JOINING_WORDS}".split())
"""Words of English that say nothing about what a memory is about."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_BEYOND_ASCII = re.compile(r"[^\W\x00-\x7f]")
_APART = runs.table("'")
_MORE = b"\xff"
_ENDING = re.compile(r"'(?:s|m|re|ve|ll|d)$")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_WITHOUT_ACCENTS = runs.table("'", _without_accent)
_SCRIPTS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = re.compile(f"[{_SCRIPTS}]")
_RUN = re.compile(f"[{_SCRIPTS}]+|[^{_SCRIPTS}]+")

_QUESTION_MARKS = ("?", "\N{FULLWIDTH QUESTION MARK}", "\N{ARABIC QUESTION MARK}")
_CLOSING = " \t\r\n!\"')]*"

_TRAITS = {
    (tells_time, asks): Trait(tells_time * Trait.TIME_EXPRESSION + asks * Trait.QUESTION)
    for tells_time in (False, True)
    for asks in (False, True)
}
