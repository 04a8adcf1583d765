"""What a question asks for, found without a model: its words, whom it names, which times it means.

    understand("When did Caroline adopt her cat?", speakers=["Caroline", "Mel"], user="mel", today=date(2024,
    1, 2)) ->  terms adopt, cat; speakers Caroline; text_to_embed "When did I adopt her cat?"; asks_for_time

A speaker of the owner's memories whom the question names is taken out of its words and becomes "I" in the
text to embed: memories say "I adopted a cat", whoever speaks. "I", "me", "my" name the owner, who is the
speaker with the user's name, or called "me" or "user", and whoever wrote the memories that have no speaker.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from services.query.named_times import named_times
from services.runtime.terms import STOP_WORDS, NamedTime, Term, question_terms, words

NO_SPEAKER = ""
"""Names the memories that have no speaker."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, understood."""

    terms: tuple[Term, ...]
    """Its words in order, a repeated one repeated, without named speakers and words that say nothing."""
    speakers: tuple[str, ...]
    """Speakers that it names, as the memories spell them, sorted; "" stands for memories without a
    speaker."""
    text_to_embed: str
    asks_for_time: bool
    times: tuple[NamedTime, ...]

    @property
    def hashes(self) -> list[int]:
        """The hashes of the terms, in order."""
        return [term.hash for term in self.terms]

    def matched_words(self, hashes: Sequence[int]) -> list[str]:
        """Return the words behind some hashes, as the question spells them, each once."""
        return list(dict.fromkeys(term.word for term in self.terms if term.hash in set(hashes)))


class _Token(NamedTuple):
    """A word of the question: where it stands, how it is written, what it is without accents and endings."""

    start: int
    end: int
    written: str
    plain: str


class _Naming(NamedTuple):
    """A stretch of the question that names somebody."""

    start: int
    end: int
    possessive: bool
    speakers: frozenset[str]


def understand(text: str, *, speakers: Sequence[str], user: str, today: date) -> Question:
    """Understand a question of the owner `user`, asked on `today` in their own calendar.

    `speakers` are those of the owner's memories; without them nobody is named but the owner.
    """
    tokens = _tokens(text)
    namings = _namings(tokens, _names(tuple(speakers), user), careless=text == text.lower())
    named = {speaker for naming in namings for speaker in naming.speakers}
    if any(token.plain in _FIRST_PERSON for token in tokens):
        named |= _owner(tuple(speakers), user)
    return Question(
        terms=tuple(question_terms(_replaced(text, namings, "", ""))),
        speakers=tuple(sorted(named)),
        text_to_embed=_replaced(text, namings, "I", "my"),
        asks_for_time=_ASKS_FOR_TIME.search(text.lower()) is not None,
        times=tuple(named_times(text, today)),
    )


def _tokens(text: str) -> list[_Token]:
    return [
        _Token(match.start(), match.end(), match[0], _POSSESSIVE.sub("", " ".join(words(match[0]))))
        for match in _TOKEN.finditer(text)
    ]


@lru_cache(maxsize=256)
def _names(speakers: tuple[str, ...], user: str) -> dict[tuple[str, ...], frozenset[str]]:
    """Return by which words speakers are named: their whole name, or the first word of it."""
    names: dict[tuple[str, ...], frozenset[str]] = {}
    owner = _owner(speakers, user)
    for name in speakers:
        of_name = owner if name in owner else frozenset({name})
        parts = tuple(words(name))
        for key in {parts, parts[:1]} - {()}:
            names[key] = names.get(key, frozenset()) | of_name
    return names


def _owner(speakers: tuple[str, ...], user: str) -> frozenset[str]:
    """Return the owner as a speaker: by the user's name, by a word for oneself, and memories without a
    speaker."""
    own = words(user.partition("@")[0])
    return frozenset(name for name in speakers if words(name) in (own, ["me"], ["user"])) | {NO_SPEAKER}


def _namings(
    tokens: Sequence[_Token], names: dict[tuple[str, ...], frozenset[str]], *, careless: bool
) -> list[_Naming]:
    """Find who is named, the longest name first where several begin."""
    longest = max(map(len, names), default=0)
    found: list[_Naming] = []
    at = 0
    while at < len(tokens):
        size = next(
            (n for n in range(longest, 0, -1) if _is_name(tokens, at, n, names, careless=careless)), 0
        )
        if size:
            first, last = tokens[at], tokens[at + size - 1]
            possessive = _POSSESSIVE.search(last.written) is not None
            speakers = names[tuple(token.plain for token in tokens[at : at + size])]
            found.append(_Naming(first.start, last.end, possessive, speakers))
        at += size or 1
    return found


def _is_name(
    tokens: Sequence[_Token],
    at: int,
    size: int,
    names: dict[tuple[str, ...], frozenset[str]],
    *,
    careless: bool,
) -> bool:
    """Say whether `size` words from `at` on are a name.

    A name begins with a capital, unless the memories write it small or the question has no capitals at all. A
    name that is also a word ("Will") cannot be told from it at the beginning of the question.
    """
    part = tokens[at : at + size]
    speakers = names.get(tuple(token.plain for token in part))
    if len(part) < size or speakers is None:
        return False
    if part[0].plain in STOP_WORDS:
        return at > 0 and part[0].written[0].isupper()
    small = any(name[:1].islower() for name in speakers)
    return careless or small or part[0].written[0].isupper() or not part[0].written[0].islower()


def _replaced(text: str, namings: Sequence[_Naming], name: str, possessive: str) -> str:
    parts, end = [], 0
    for naming in namings:
        parts += [text[end : naming.start], possessive if naming.possessive else name]
        end = naming.end
    return "".join([*parts, text[end:]])


_FIRST_PERSON = frozenset({"i", "i'm", "i've", "i'd", "i'll", "me", "my", "mine", "myself"})
_TOKEN = re.compile(
    r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)*['\N{RIGHT SINGLE QUOTATION MARK}]?"
)
_POSSESSIVE = re.compile(r"(?:['\N{RIGHT SINGLE QUOTATION MARK}]s|(?<=s)['\N{RIGHT SINGLE QUOTATION MARK}])$")
_ASKS_FOR_TIME = re.compile(
    r"^\W*(?:and\s+|so\s+|since\s+|until\s+)?when\b"
    r"|\bwhen\s+(?:did|do|does|was|were|is|are|will|would|has|have|had)\b"
    r"|\b(?:what|which)\s+(?:exact\s+)?(?:date|day|week|weekday|weekend|month|season|year|time)\b"
    r"|\bhow\s+(?:long|many\s+(?:days|weeks|months|years))\b"
)
