import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.cli.formats import jsonl
from ops.cli.formats.entry import Broken, Entry, Item
from reverie_client import Attachment, Kind, Occurred, Place, Precision, Source

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def parse(**fields: object) -> Entry:
    return jsonl.parse(json.dumps(fields).encode(), "line 1", "ines", NOW)


def item(**fields: object) -> Item:
    entry = parse(**{"text": "A note.", "occurred_at": "2025-03-09T18:20:00+00:00", **fields})
    assert isinstance(entry, Item), entry
    return entry


def reason(**fields: object) -> str:
    entry = parse(**{"text": "A note.", "occurred_at": "2025-03-09", **fields})
    assert isinstance(entry, Broken), entry
    return entry.reason


def read(content: bytes) -> list[Entry]:
    return list(jsonl.read(io.BytesIO(content), "ines", NOW))


def test_every_field_is_read() -> None:
    new = item(
        key="2025-10-18-ring",
        occurred_at="2025-10-18T21:05:00+01:00",
        occurred_until="2025-10-18T22:00:00+01:00",
        kind="photo",
        text="Found the ring.",
        place={"name": "Kitchen", "latitude": 38.7, "longitude": -9},
        people=["Rita"],
        labels=["ring"],
        language="en",
        source={"conversation": "family", "speaker": "Rita", "position": 3},
        attachments=[
            {"object": "photos/1.jpg", "media_type": "image/jpeg", "size": 5, "digest": "sha256:00"}
        ],
    ).new
    assert (new.text, new.kind, new.language) == ("Found the ring.", Kind.PHOTO, "en")
    assert new.occurred_at == Occurred.parse("2025-10-18T21:05:00+01:00")
    assert new.occurred_until == datetime(2025, 10, 18, 21, tzinfo=UTC)
    assert (new.place, new.source) == (Place("Kitchen", 38.7, -9), Source("family", "Rita", 3))
    assert (list(new.people), list(new.labels)) == (["Rita"], ["ring"])
    assert list(new.attachments) == [Attachment("photos/1.jpg", "image/jpeg", 5, "sha256:00")]


def test_a_coarse_time_is_of_the_offset_beside_it() -> None:
    occurred = item(occurred_at="1996", utc_offset="+01:00").new.occurred_at
    assert isinstance(occurred, Occurred)
    assert (occurred.precision, occurred.at.isoformat()) == (Precision.YEAR, "1996-01-01T00:00:00+01:00")


def test_null_is_as_good_as_absent() -> None:
    new = item(place=None, people=None, kind=None, source=None).new
    assert (new.place, list(new.people), new.kind, new.source) == (None, [], Kind.NOTE, None)


def test_the_same_key_and_time_make_the_same_id_whatever_the_rest_says() -> None:
    assert item(key="a", text="one").new.id == item(key="a", text="two").new.id
    assert item(key="a").new.id != item(key="b").new.id


def test_without_a_key_the_content_makes_the_id_however_it_is_written() -> None:
    one = jsonl.parse(b'{"text": "x", "occurred_at": "2025"}', "line 1", "ines", NOW)
    two = jsonl.parse(b'{"occurred_at":"2025","text":"\\u0078"}', "line 2", "ines", NOW)
    assert isinstance(one, Item)
    assert isinstance(two, Item)
    assert one.new.id == two.new.id
    assert one.new.id != item(text="y", occurred_at="2025").new.id


def test_what_is_still_to_come_has_an_id_that_reverie_takes() -> None:
    minted = item(occurred_at="2027-01-01").new.id
    assert minted is not None
    assert (minted.version, minted.int >> 80) == (8, 0)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "is no JSON"),
        (b"[1]", "is no JSON object"),
        (b'{"text": "x", "occurred_at": "2025", "size": NaN}', "NaN is no number"),
        (b'{"text": "\xff"}', "is not UTF-8: byte 10"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_no_json_object_is_told(line: bytes, why: str) -> None:
    entry = jsonl.parse(line, "line 7", "ines", NOW)
    assert isinstance(entry, Broken)
    assert entry.where == "line 7"
    assert why in entry.reason


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"text": None}, "text is missing"),
        ({"text": 5}, "text is no string"),
        ({"text": "\ud800"}, "text holds half of a surrogate pair"),
        ({"occurred_at": None}, "occurred_at is missing"),
        ({"occurred_at": "last year"}, "occurred_at is wrong: 'last year' is no time"),
        ({"occurred_at": "2025-02-30"}, "occurred_at is wrong: '2025-02-30' is no time: day is out of range"),
        ({"occurred_at": "2025-03-09T18:20:00"}, "it has no UTC offset"),
        ({"utc_offset": "CET"}, "utc_offset is wrong: 'CET' is no UTC offset"),
        ({"occurred_until": "soon"}, "occurred_until is wrong"),
        ({"kind": "dream"}, "kind is 'dream', not one of note, message, photo, event"),
        ({"place": "home"}, "place is no object"),
        ({"place": {"name": "x", "latitude": "north"}}, "place.latitude is no number"),
        ({"place": {"name": "x", "lat": 1}}, "place.lat is not known"),
        ({"people": "Rita"}, "people is no list"),
        ({"people": ["Rita", 5]}, "people[1] is no string"),
        ({"source": {"speaker": "Rita"}}, "source.conversation is missing"),
        ({"source": {"conversation": "c", "position": True}}, "source.position is no whole number"),
        ({"source": {"conversation": "c", "position": 2**31}}, "source.position is no whole number of 32"),
        ({"attachments": [1]}, "attachments is no list of objects"),
        ({"attachments": [{"object": "a"}]}, "attachments[0].media_type is missing"),
        ({"when": "2025"}, "when is not known"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, object], why: str) -> None:
    assert why in reason(**fields)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = reason(text=5, kind="dream", place={"latitude": "x"}, extra=1)
    assert all(name in told for name in ("text", "kind", "place.latitude", "extra"))


def test_broken_lines_are_told_by_number_and_the_rest_is_read() -> None:
    good = b'{"text": "x", "occurred_at": "2025"}'
    entries = read(b"\xef\xbb\xbf" + good + b"\r\n\n  \n{oops\n" + good)
    assert [entry.where for entry in entries] == ["line 1", "line 4", "line 5"]
    assert [type(entry) for entry in entries] == [Item, Broken, Item]


def test_a_line_that_is_too_long_is_told_and_not_kept_in_memory() -> None:
    good = b'{"text": "x", "occurred_at": "2025"}\n'
    too_long = b'"' + b"x" * (3 * jsonl.LONGEST_LINE) + b'"\n'
    entries = read(good + too_long + good + too_long.rstrip())
    assert [entry.where for entry in entries] == ["line 1", "line 2", "line 3", "line 4"]
    assert isinstance(entries[1], Broken)
    assert "is longer than 1,048,576 bytes" in entries[1].reason
    assert isinstance(entries[3], Broken)


def test_the_longest_line_that_is_taken_is_taken() -> None:
    head, tail = b'{"occurred_at": "2025", "text": "', b'"}\n'
    line = head + b"x" * (jsonl.LONGEST_LINE - len(head) - len(tail)) + tail
    assert isinstance(read(line)[0], Item)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jsonl")), ids=lambda path: path.name)
def test_the_examples_are_read_whole_and_every_memory_has_an_id_of_its_own(path: Path) -> None:
    with path.open("rb") as file:
        entries = list(jsonl.read(file, "ines", NOW))
    items = [entry for entry in entries if isinstance(entry, Item)]
    assert len(items) == len(entries) == len({each.new.id for each in items}) > 300
