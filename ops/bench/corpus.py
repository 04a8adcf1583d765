"""Memories to measure with: the texts of the sample, over and over, as turns of conversations."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, islice
from pathlib import Path

from reverie_client import Ids, Kind, NewMemory, Source

_SPEAKERS = ("Ada", "Bela", "Carol")
_TURNS = 24
_BEGAN = datetime(2024, 1, 1, 8, tzinfo=UTC)


def texts() -> Sequence[str]:
    """The texts of the sample. FileNotFoundError outside of a checkout."""
    folder = Path(__file__).resolve().parents[2] / "examples"
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise FileNotFoundError(f"no sample in {folder}")
    return [json.loads(line)["text"] for line in files[0].read_text("utf-8").splitlines()]


def endless_texts() -> Iterator[str]:
    """The texts of the sample, over and over."""
    return cycle(texts())


def memories(ids: Ids) -> Iterator[NewMemory]:
    """Memories without end, each with an id of its own, an hour after the one before."""
    sample = texts()
    for number in count():
        yield NewMemory(
            sample[number % len(sample)],
            id=ids.mint(),
            occurred_at=_BEGAN + timedelta(hours=number),
            kind=Kind.MESSAGE,
            source=Source(f"talk-{number // _TURNS}", _SPEAKERS[number % len(_SPEAKERS)], number % _TURNS),
        )


def questions() -> Iterator[str]:
    """Questions of about ten words, each another one: no cache may answer for the work."""
    words = [word for text in texts() for word in text.split()]
    stride = 7
    for at in count():
        start = (at * stride) % (len(words) - stride)
        yield f"What about {' '.join(islice(words, start, start + stride))} ({at})?"
