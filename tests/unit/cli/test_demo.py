"""What a newcomer sees of `reverie demo`."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from ops.cli import demonstration
from ops.cli.demonstration import Answer
from reverie.query.v1 import query_pb2
from reverie_client import Hit, NewMemory, Source
from reverie_client.content import to_message

LONG = (
    "So the trip is off, because of one old cat's kidneys. "
    "Changed the flights to an open date, and wrote to the family of the papermaker in a language "
    "which I have learned for half a year only, with the dictionary at my elbow and the cat on it. "
    "I hope they understood that the cat is ill."
)
OTHER = "Walked to the river and back. " * 8 + "Japan will be there in the autumn too."


def hit(text: str, *words: str) -> Hit:
    at = datetime(2025, 4, 27, 21, 10, tzinfo=UTC)
    new = NewMemory(text, occurred_at=at, source=Source("us", "Maeve", 1))
    why = query_pb2.Explanation(matched_words=words, words_score=8.1, meaning_score=7.0)
    return Hit(query_pb2.SearchHit(memory=to_message(new), explanation=why))


def shown(width: int, *hits: Hit, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        highlight=False,
        force_terminal=color,
        color_system="standard" if color else None,
    )
    demonstration._show_answer(console, Answer("Why no trip?", hits, 12.4))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_best_answer_is_shown_to_its_last_word_then_why_then_the_next_in_short(width: int) -> None:
    lines = shown(width, hit(LONG, "trip"), hit(OTHER, "japan")).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1] == "Why no trip?  12 ms"
    why = next(number for number, line in enumerate(lines) if line.strip().startswith("why"))
    best, other = lines[2:why], lines[why + 1 :]
    assert best[0].startswith("27 Apr 2025 21:10  Maeve: So the trip")
    assert " ".join(" ".join(line[17:].split()) for line in best).strip() == f"Maeve: {LONG}"
    assert len(other) <= 2
    assert "Maeve: … Japan" in other[0]


def test_the_words_of_the_question_stand_out() -> None:
    printed = shown(120, hit("The trips are over, and no trap.", "trip"), color=True)
    assert "\x1b[1;33mtrips\x1b[0m" in printed
    assert "\x1b[1;33mtrap" not in printed


def test_an_answer_without_hits_is_a_question_alone() -> None:
    assert shown(80).split() == ["Why", "no", "trip?", "12", "ms"]


@pytest.mark.parametrize(
    ("words", "start"),
    [(("rain",), "It rained."), (("gate", "white"), "… White at the gate!"), (("nowhere",), "It rained.")],
)
def test_an_excerpt_begins_with_the_sentence_that_holds_most_of_the_words(
    words: tuple[str, ...], start: str
) -> None:
    text = "It rained. Nobody stood at the gate. White at the gate! Then we went."
    assert demonstration.excerpt(text, words).startswith(start)


def test_the_examples_are_there() -> None:
    assert list(Path(demonstration.EXAMPLES).glob("*.jsonl"))
