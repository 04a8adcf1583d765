"""The questions of LoCoMo, and which turns answer them.

The file is test data that is read from where it lies and never copied: `$REVERIE_LOCOMO`, or
`../shared/data/locomo10.json` beside the checkout.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATEGORIES = {1: "several memories", 2: "time", 3: "inference", 4: "one memory"}
"""The categories that are asked. The fifth has questions without an answer."""

_TURN = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the turns that hold its answer."""

    sample: str
    text: str
    category: int
    evidence: frozenset[str]
    """Ids of turns, as "D8:6"; every one exists, and there is at least one."""


def dataset_path(given: Path | None = None) -> Path | None:
    """Where the file is, or None."""
    root = Path(__file__).resolve().parents[2]
    named = os.environ.get("REVERIE_LOCOMO")
    candidates = [given] if given else [Path(named)] if named else [root.parent / "shared/data/locomo10.json"]
    return next((path for path in candidates if path.is_file()), None)


def questions(path: Path) -> list[Question]:
    """The questions of categories 1 to 4 whose evidence names turns that exist, in the file's order."""
    return [question for sample in json.loads(path.read_text()) for question in _of_sample(sample)]


def _of_sample(sample: dict[str, Any]) -> Iterable[Question]:
    turns = _turns(sample["conversation"])
    for entry in sample["qa"]:
        evidence = frozenset(_named_turns(entry.get("evidence", ()))) & turns
        if entry["category"] in CATEGORIES and evidence:
            yield Question(sample["sample_id"], str(entry["question"]), entry["category"], evidence)


def _turns(conversation: dict[str, Any]) -> frozenset[str]:
    sessions = (value for value in conversation.values() if isinstance(value, list))
    return frozenset(turn["dia_id"] for session in sessions for turn in session)


def _named_turns(evidence: Iterable[str]) -> Iterable[str]:
    """Every `D<session>:<turn>` in the strings: some hold two, as "D8:6; D9:17"."""
    for text in evidence:
        yield from _TURN.findall(text)
