import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.cli.formats import locomo
from ops.cli.formats.entry import Broken, Item
from reverie_client import Kind, Source

SAMPLE = {
    "sample_id": "conv-1",
    "qa": [],
    "conversation": {
        "speaker_a": "Ana",
        "speaker_b": "Ben",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ana", "dia_id": "D1:1", "text": "Look at this!", "blip_caption": "a photo of a dog"},
            {"speaker": "Ben", "dia_id": "D1:2", "text": "Lovely."},
            {"speaker": "Ben", "dia_id": "D1:3", "text": " "},
            "odd",
        ],
        "session_2_date_time": "some day",
        "session_2": [{"speaker": "Ana", "dia_id": "D2:1", "text": "Hello again."}],
        "session_3_date_time": "12:05 am on 1 January, 2024",
    },
}


def written(tmp_path: Path, value: object) -> Path:
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps(value))
    return path


def test_a_turn_is_a_memory_with_its_caption_its_speaker_and_its_place(tmp_path: Path) -> None:
    ((user, entries),) = locomo.conversations(written(tmp_path, [SAMPLE]), "bench")
    assert user == "bench-conv-1"
    first, second = entries[:2]
    assert isinstance(first, Item)
    assert isinstance(second, Item)
    assert first.new.text == "Look at this!\na photo of a dog"
    assert (first.new.kind, first.source_id) == (Kind.MESSAGE, "D1:1")
    assert (first.new.source, second.new.source) == (
        Source("session_1", "Ana", 0),
        Source("session_1", "Ben", 1),
    )
    assert first.new.occurred_at == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert second.new.occurred_at == datetime(2023, 5, 8, 13, 56, 1, tzinfo=UTC)


def test_what_is_broken_is_told_by_its_place_and_the_rest_is_read(tmp_path: Path) -> None:
    ((_, entries),) = locomo.conversations(written(tmp_path, [SAMPLE]), "bench")
    broken = {entry.where: entry.reason for entry in entries if isinstance(entry, Broken)}
    assert broken["conv-1 D1:3"] == "has no text"
    assert broken["conv-1 session_1:3"] == "is no turn"
    assert broken["conv-1 session_2"].startswith("has no time")
    assert sum(isinstance(entry, Item) for entry in entries) == 2


def test_the_same_file_makes_the_same_ids_for_whichever_user(tmp_path: Path) -> None:
    path = written(tmp_path, [SAMPLE])
    ids = [
        [entry.new.id for entry in entries if isinstance(entry, Item)]
        for prefix in ("one", "two")
        for _, entries in locomo.conversations(path, prefix)
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


@pytest.mark.parametrize("value", [{}, [1], [{"conversation": {}}], [{"sample_id": "x", "conversation": []}]])
def test_another_file_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="is no LoCoMo file"):
        list(locomo.conversations(written(tmp_path, value), "bench"))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1:56 pm on 8 May, 2023", datetime(2023, 5, 8, 13, 56, tzinfo=UTC)),
        ("12:05 am on 1 January, 2024", datetime(2024, 1, 1, 0, 5, tzinfo=UTC)),
    ],
)
def test_the_time_of_a_session_is_read(text: str, at: datetime) -> None:
    assert locomo.session_time(text) == at


def test_the_whole_file_is_read_with_every_turn_in_order() -> None:
    path = locomo.default_path()
    if not path.is_file():
        pytest.skip(f"$REVERIE_LOCOMO names no file, and {path} is not there")
    turns = 0
    for _, entries in locomo.conversations(path, "bench"):
        items = [entry for entry in entries if isinstance(entry, Item)]
        assert len(items) == len(entries)
        times = [each.new.occurred_at for each in items]
        assert all(isinstance(at, datetime) for at in times)
        by_session: dict[str, datetime] = {}
        for each in items:
            assert each.new.source is not None
            assert isinstance(each.new.occurred_at, datetime)
            before = by_session.get(each.new.source.conversation)
            assert before is None or each.new.occurred_at - before == timedelta(seconds=1)
            by_session[each.new.source.conversation] = each.new.occurred_at
        turns += len(items)
    assert turns == 5882
