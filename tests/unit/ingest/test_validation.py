import math
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings

from reverie.memory.v1.memory_pb2 import Attachment, Memory, Place, Source
from services.ingest import writes
from services.ingest.lane import MAX_BYTES, Owner
from services.ingest.validation import (
    EARLIEST,
    LATEST,
    MAX_OFFSET,
    violations,
)
from tests.unit.ingest.memories import accepted, anything, plain

OWNER = Owner(b"o" * 16, b"t" * 16, "u" * 128)
DIGEST = f"sha256:{'0' * 64}"


def attached(**fields: Any) -> Attachment:
    told: dict[str, Any] = {"object": "o", "media_type": "a/b", "digest": DIGEST}
    return Attachment(**told | fields)


def broken(**fields: Any) -> list[str]:
    return [violation.field for violation in violations(plain(**fields))]


@given(accepted())
def test_what_the_contract_allows_is_accepted(memory: Memory) -> None:
    assert violations(memory) == []


@given(accepted() | anything())
@settings(max_examples=150)
def test_what_is_accepted_can_be_encoded_and_sent(memory: Memory) -> None:
    if violations(memory):
        return
    operation = writes.update(OWNER, UUID(int=1), memory, 1)
    assert operation.size < MAX_BYTES // 4
    assert len(operation.change.update.content.terms) % 4 == 0


@given(anything())
def test_whatever_comes_in_is_judged(memory: Memory) -> None:
    for violation in violations(memory):
        assert violation.field.startswith("memory.")
        assert violation.description


def test_every_broken_field_is_named_at_once() -> None:
    memory = Memory(
        kind=9,  # type: ignore[arg-type]
        occurred_utc_offset=Duration(seconds=61),
        occurred_precision=-1,  # type: ignore[arg-type]
        occurred_until=Timestamp(seconds=5, nanos=5),
        place=Place(latitude=91),
        people=["ok", ""],
        labels=["a\x1fb", "ok", "x" * 65],
        source=Source(speaker="\0", position=-1),
        language="português",
        attachments=[Attachment(object="o", media_type="image/png", size=-1, digest="md5:0")],
    )
    assert sorted({violation.field for violation in violations(memory)}) == [
        "memory.attachments[0].digest",
        "memory.attachments[0].size",
        "memory.kind",
        "memory.labels[0]",
        "memory.labels[2]",
        "memory.language",
        "memory.occurred_at",
        "memory.occurred_precision",
        "memory.occurred_until",
        "memory.occurred_utc_offset",
        "memory.people[1]",
        "memory.place",
        "memory.place.latitude",
        "memory.place.name",
        "memory.source.conversation",
        "memory.source.position",
        "memory.source.speaker",
        "memory.text",
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": ""}, "memory.text"),
        ({"text": "x" * 32_769}, "memory.text"),
        ({"text": "é" * 16_385}, "memory.text"),
        ({"text": "a\0"}, "memory.text"),
        ({"kind": 5}, "memory.kind"),
        ({"occurred_at": None}, "memory.occurred_at"),
        ({"occurred_at": Timestamp(seconds=EARLIEST - 1)}, "memory.occurred_at"),
        ({"occurred_at": Timestamp(seconds=LATEST)}, "memory.occurred_at"),
        ({"occurred_at": Timestamp(nanos=1)}, "memory.occurred_at"),
        ({"occurred_at": Timestamp(nanos=-1000)}, "memory.occurred_at"),
        ({"occurred_at": Timestamp(nanos=1_000_000_000)}, "memory.occurred_at"),
        ({"occurred_utc_offset": Duration(seconds=MAX_OFFSET + 60)}, "memory.occurred_utc_offset"),
        ({"occurred_utc_offset": Duration(seconds=-MAX_OFFSET - 60)}, "memory.occurred_utc_offset"),
        ({"occurred_utc_offset": Duration(nanos=1)}, "memory.occurred_utc_offset"),
        ({"occurred_until": Timestamp(seconds=1_683_417_599, nanos=999_999_000)}, "memory.occurred_until"),
        ({"place": Place(name="x" * 257)}, "memory.place.name"),
        ({"place": Place(name="x", longitude=1)}, "memory.place"),
        ({"place": Place(name="x", latitude=math.nan, longitude=0)}, "memory.place.latitude"),
        ({"place": Place(name="x", latitude=0, longitude=-math.inf)}, "memory.place.longitude"),
        ({"people": ["x"] * 65}, "memory.people"),
        ({"people": ["x" * 129]}, "memory.people[0]"),
        ({"people": ["\x1f"]}, "memory.people[0]"),
        ({"labels": ["x"] * 33}, "memory.labels"),
        ({"source": Source(conversation="x" * 129)}, "memory.source.conversation"),
        ({"source": Source(conversation="x", speaker="x" * 129)}, "memory.source.speaker"),
        ({"language": "x" * 36}, "memory.language"),
        ({"language": "en\n"}, "memory.language"),
        ({"attachments": [attached(object="")]}, "memory.attachments[0].object"),
        ({"attachments": [attached(media_type="a")]}, "memory.attachments[0].media_type"),
        ({"attachments": [attached(size=2**40 + 1)]}, "memory.attachments[0].size"),
        ({"attachments": [attached(digest=DIGEST.upper())]}, "memory.attachments[0].digest"),
        ({"attachments": [attached()] * 17}, "memory.attachments"),
    ],
)
def test_one_step_beyond_a_limit_is_refused(fields: dict[str, Any], field: str) -> None:
    assert broken(**fields) == [field]


def test_a_flood_of_entries_is_not_looked_at_one_by_one() -> None:
    assert broken(labels=[""] * 1_000_000) == ["memory.labels", *(f"memory.labels[{at}]" for at in range(32))]
