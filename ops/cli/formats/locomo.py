"""The LoCoMo file: long conversations of two people each, over many sessions.

Each turn is a memory; the caption of a picture that was sent along belongs to its text. Each conversation is
a user of its own.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ops.cli.formats.entry import Broken, Entry, Item
from reverie_client import Kind, NewMemory, Source, derived_id

VARIABLE = "REVERIE_LOCOMO"
_TIME = "%I:%M %p on %d %B, %Y"


def default_path() -> Path:
    """Where the file is if nobody says: $REVERIE_LOCOMO, else beside the checkout."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[4] / "shared/data/locomo10.json"


def user_of(prefix: str, sample_id: str) -> str:
    """The user that holds the conversation of a sample."""
    return f"{prefix}-{sample_id}"


def conversations(path: Path, prefix: str) -> Iterator[tuple[str, list[Entry]]]:
    """The users that the file makes, each with the turns of their conversation in order.

    ValueError if it is no such file. `source_id` of an item is the turn's own id, as "D8:6".
    """
    try:
        samples = json.loads(path.read_bytes())
    except ValueError as wrong:
        raise ValueError(f"{path} is no JSON: {wrong}") from None
    if not isinstance(samples, list) or not all(_is_sample(sample) for sample in samples):
        raise ValueError(f"{path} is no LoCoMo file: a list of samples with `sample_id` and `conversation`")
    for sample in samples:
        user = user_of(prefix, sample["sample_id"])
        yield user, list(_turns(sample["conversation"], str(sample["sample_id"]), user))


def _is_sample(sample: Any) -> bool:
    return isinstance(sample, dict) and isinstance(sample.get("conversation"), dict) and "sample_id" in sample


def _turns(conversation: dict[str, Any], sample_id: str, user: str) -> Iterator[Entry]:
    for name, turns in conversation.items():
        if not isinstance(turns, list):
            continue
        try:
            began = session_time(str(conversation.get(f"{name}_date_time", "")))
        except ValueError as wrong:
            yield Broken(f"{sample_id} {name}", f"has no time: {wrong}")
            continue
        for position, turn in enumerate(turns):
            if isinstance(turn, dict):
                source = Source(name, str(turn.get("speaker", "")), position)
                yield _turn(turn, source, began, sample_id, user)
            else:
                yield Broken(f"{sample_id} {name}:{position}", "is no turn")


def _turn(turn: dict[str, Any], source: Source, began: datetime, sample_id: str, user: str) -> Entry:
    turn_id = str(turn.get("dia_id", f"{source.conversation}:{source.position}"))
    where = f"{sample_id} {turn_id}"
    text = turn_text(turn)
    if not text:
        return Broken(where, "has no text")
    at = began + timedelta(seconds=source.position)
    new = NewMemory(
        text,
        occurred_at=at,
        kind=Kind.MESSAGE,
        source=source,
        id=derived_id(at, f"locomo:{sample_id}:{turn_id}"),
    )
    return Item(where, user, new, turn_id)


def turn_text(turn: dict[str, Any]) -> str:
    """What was said, and below it the caption of the picture that went along."""
    said = (str(turn.get("text") or ""), str(turn.get("blip_caption") or ""))
    return "\n".join(part for part in said if part.strip())


def session_time(text: str) -> datetime:
    """The time of a session, as "1:56 pm on 8 May, 2023"; it names no zone, so it is taken as UTC."""
    return datetime.strptime(text.strip().upper(), _TIME).replace(tzinfo=UTC)
