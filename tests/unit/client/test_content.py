from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from reverie.memory.v1 import memory_pb2
from reverie_client import Attachment, Kind, Memory, NewMemory, Occurred, Place, Precision, Source
from reverie_client.content import to_message, to_update

SUMMER = timezone(timedelta(hours=1))
PHOTO = Attachment("photos/1.jpg", "image/jpeg", 12_345, "sha256:" + "0" * 64)
FULL = NewMemory(
    text="Found the ring.",
    occurred_at=datetime(2025, 6, 18, 21, 5, tzinfo=SUMMER),
    occurred_until=datetime(2025, 6, 18, 22, 0, tzinfo=SUMMER),
    kind=Kind.PHOTO,
    place=Place("Kitchen", 38.7, -9.1),
    people=["Rita", "Tomás"],
    labels=["ring"],
    source=Source("session_1", "Inês", 3),
    language="en",
    attachments=[PHOTO],
)


def test_what_is_handed_over_comes_back_the_same() -> None:
    memory = Memory(to_message(FULL))
    assert (memory.text, memory.kind, memory.place, memory.source) == (
        FULL.text, FULL.kind, FULL.place, FULL.source,
    )  # fmt: skip
    assert (list(memory.people), list(memory.labels)) == (["Rita", "Tomás"], ["ring"])
    assert (memory.language, list(memory.attachments)) == ("en", [PHOTO])
    assert (memory.occurred_at, memory.occurred_until) == (FULL.occurred_at, FULL.occurred_until)
    assert memory.occurred_at.isoformat() == "2025-06-18T21:05:00+01:00"
    assert memory.occurred.precision is Precision.INSTANT


def test_what_is_handed_over_is_set_where_there_is_nothing_in_it() -> None:
    message = to_message(NewMemory("x", occurred_at=datetime(1970, 1, 1, tzinfo=UTC), source=Source("")))
    assert message.HasField("occurred_at")
    assert message.HasField("source")


def test_what_is_not_handed_over_is_not_set() -> None:
    message = to_message(NewMemory("A note."))
    assert [field.name for field, _ in message.ListFields()] == ["text", "kind"]
    memory = Memory(message)
    assert (memory.place, memory.source, memory.occurred_until, memory.update_time) == (None,) * 4
    assert (memory.people, memory.labels, memory.attachments, memory.analysis) == ((),) * 4


def test_a_place_without_coordinates_has_none() -> None:
    assert Memory(to_message(NewMemory("x", place=Place("Alfama")))).place == Place("Alfama")
    assert Memory(to_message(NewMemory("x", place=Place("Null Island", 0.0, 0.0)))).place == Place(
        "Null Island", 0.0, 0.0
    )


def test_a_coarse_time_keeps_its_precision_and_its_offset() -> None:
    memory = Memory(to_message(NewMemory("x", occurred_at=Occurred.parse("2024-03", SUMMER))))
    assert memory.occurred.isoformat() == "2024-03"
    assert memory.occurred_at.astimezone(UTC) == datetime(2024, 2, 29, 23, tzinfo=UTC)


def test_utc_is_no_offset_at_all() -> None:
    message = to_message(NewMemory("x", occurred_at=date(2024, 3, 9)))
    assert not message.HasField("occurred_utc_offset")
    assert message.occurred_precision == memory_pb2.OCCURRED_PRECISION_DAY


def test_every_kind_arrives_as_itself() -> None:
    assert [Memory(to_message(NewMemory("x", kind=kind))).kind for kind in Kind] == list(Kind)


def test_an_update_names_just_what_changes() -> None:
    message, paths = to_update("New text", {"labels": [], "place": None})
    assert paths == ["text", "labels", "place"]
    assert message.text == "New text"
    assert not message.HasField("place")
    assert not message.HasField("occurred_at")


def test_a_change_of_time_takes_its_offset_and_precision_along() -> None:
    message, paths = to_update(None, {"occurred_at": Occurred.parse("2024-03", SUMMER)})
    assert paths == ["occurred_at", "occurred_utc_offset", "occurred_precision"]
    assert message.occurred_utc_offset.seconds == 3600


def test_a_memory_shows_itself_in_short() -> None:
    message = to_message(FULL)
    message.name = "users/ines/memories/01890a5d-ac96-774b-bcce-b302099a8057"
    shown = repr(Memory(message))
    assert shown == (
        "<Memory 01890a5d-ac96-774b-bcce-b302099a8057 2025-06-18T21:05:00+01:00 'Found the ring.'>"
    )


def test_a_time_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="no UTC offset"):
        to_message(NewMemory("x", occurred_at=datetime(2024, 3, 9)))  # noqa: DTZ001
