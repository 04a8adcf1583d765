import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ops.cli import memory_json, printing, streams
from reverie.query.v1 import query_pb2
from reverie_client import Hit, Kind, Memory, NewMemory, Occurred, Place, Source
from reverie_client.content import to_message

ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def memory(new: NewMemory) -> Memory:
    message = to_message(new)
    message.name, message.etag, message.revision = f"users/ines/memories/{ID}", "W7", 7
    message.create_time.seconds = 1_700_000_000
    return Memory(message)


RING = memory(
    NewMemory(
        "Found the ring in the blue teacup, which had been packed the day after it was lost.",
        occurred_at=datetime(2025, 10, 18, 21, 5, tzinfo=timezone(timedelta(hours=1))),
        kind=Kind.MESSAGE,
        place=Place("Kitchen", 38.7, -9.1),
        people=["Rita"],
        labels=["ring"],
        source=Source("family", "Inês", 3),
    )
)
COARSE = memory(NewMemory("A boat.", occurred_at=Occurred.parse("1996", timezone(timedelta(hours=1)))))


def hit() -> Hit:
    return Hit(
        query_pb2.SearchHit(
            memory=RING.message,
            score=14.2,
            before=[COARSE.message],
            explanation=query_pb2.Explanation(
                lexical_rank=1,
                vector_rank=2,
                matched_words=["ring"],
                words_score=8.1,
                meaning_score=6.14,
                prior_score=-0.04,
            ),
        )
    )


def test_a_timeline_shows_when_who_what_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_memories([RING, COARSE], full=True)
    shown = capsys.readouterr().out
    assert "18 Oct 2025 21:05" in shown
    assert "Inês: Found the ring" in shown
    assert f"{ID} · Kitchen · Rita · #ring" in " ".join(shown.split())
    assert "1996  A boat." in " ".join(shown.split(" ")).replace(" " * 15, "  ")


def test_hits_show_rank_neighbours_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_hits([hit()], full=True)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("1996 A boat.")
    assert "1 18 Oct 2025 21:05 Inês: Found the ring" in shown
    assert "+8.1 words (ring) +6.1 meaning" in shown
    assert "question" not in shown


@pytest.mark.parametrize(
    ("room", "told"),
    [
        (None, "+8.1 words (ring) +6.1 meaning"),
        (30, "+8.1 words (ring) +6.1 meaning"),
        (29, "+8.1 words (ring)"),
        (14, "+8.1 words…"),
    ],
)
def test_reasons_are_left_out_whole_where_there_is_no_room(room: int | None, told: str) -> None:
    explanation = hit().explanation
    assert explanation is not None
    assert printing.reasons(explanation, room) == told


def test_everything_about_a_memory_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_memory(RING)
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        ID, "18 Oct 2025 21:05 (UTC+0100)", "Kitchen (38.7, -9.1)", "family, Inês, 3", "not yet", "W7",
        "2023-11-14 22:13:20 UTC",
    ):  # fmt: skip
        assert part in shown


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("short", "short"),
        ("two\n lines", "two lines"),
        ("a sentence, which is cut", "a sentence…"),
        ("unbreakableword", "unbreakable…"),
    ],
)
def test_a_text_is_cut_at_a_word(text: str, short: str) -> None:
    assert printing.shortened(text, 12) == short
    assert len(short) <= 12


def test_markup_in_a_text_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_memories(
        [memory(NewMemory("[bold]no[/bold] [/]", occurred_at=datetime.now(UTC)))], full=True
    )
    assert "[bold]no[/bold] [/]" in capsys.readouterr().out


def test_json_has_the_names_of_the_import_format() -> None:
    shown = memory_json.memory_json(RING)
    assert shown["occurred_at"] == "2025-10-18T21:05:00+01:00"
    assert "utc_offset" not in shown
    assert shown["place"] == {"name": "Kitchen", "latitude": 38.7, "longitude": -9.1}
    assert shown["source"] == {"conversation": "family", "speaker": "Inês", "position": 3}
    assert (shown["id"], shown["kind"], shown["etag"]) == (ID, "message", "W7")
    assert memory_json.memory_json(COARSE)["occurred_at"] == "1996"
    assert memory_json.memory_json(COARSE)["utc_offset"] == "+01:00"
    assert "people" not in memory_json.memory_json(COARSE)


def test_json_of_a_hit_holds_neighbours_and_reasons() -> None:
    shown = memory_json.hit_json(hit())
    assert shown["score"] == 14.2
    assert [each["text"] for each in shown["before"]] == ["A boat."]
    assert shown["why"]["matched_words"] == ["ring"]


def test_printed_json_can_be_read_and_keeps_its_letters(capsys: pytest.CaptureFixture[str]) -> None:
    streams.print_json(memory_json.memory_json(RING))
    printed = capsys.readouterr().out
    assert "Inês" in printed
    assert json.loads(printed)["id"] == ID
