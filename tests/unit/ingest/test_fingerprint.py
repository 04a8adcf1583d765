from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.memory.v1.memory_pb2 import AnalysisResult, Attachment, Memory, Place, Source
from services.ingest.content import complete
from services.ingest.fingerprint import fingerprint
from tests.unit.ingest.memories import accepted, plain

few = settings(max_examples=40)


def completed(memory: Memory) -> Memory:
    copy = Memory()
    copy.CopyFrom(memory)
    complete(copy)
    return copy


def marked(**fields: Any) -> bytes:
    return fingerprint(completed(plain(**fields)))


def told(memory: Memory) -> bytes:
    """A memory with what is said the same written the same."""
    whole = completed(memory)
    if not whole.occurred_utc_offset.seconds:
        whole.ClearField("occurred_utc_offset")
    whole.place.latitude += 0.0
    whole.place.longitude += 0.0
    if not memory.place.HasField("latitude"):
        whole.place.ClearField("latitude")
        whole.place.ClearField("longitude")
    if not memory.HasField("place"):
        whole.ClearField("place")
    return whole.SerializeToString(deterministic=True)


@given(accepted(), accepted(), st.sets(st.sampled_from(sorted(Memory.DESCRIPTOR.fields_by_name))))
@few
def test_memories_have_one_fingerprint_exactly_if_they_say_the_same(
    one: Memory, other: Memory, shared: set[str]
) -> None:
    for field in shared:
        other.ClearField(field)
    part = Memory()
    part.CopyFrom(one)
    for field in set(Memory.DESCRIPTOR.fields_by_name) - shared:
        part.ClearField(field)
    other.MergeFrom(part)
    assert (fingerprint(completed(one)) == fingerprint(completed(other))) is (told(one) == told(other))


@given(accepted(), st.randoms(use_true_random=False))
@few
def test_the_order_of_fields_on_the_wire_does_not_count(memory: Memory, random: Any) -> None:
    names = [field.name for field, _ in memory.ListFields()]
    random.shuffle(names)
    wire = b""
    for name in names:
        part = Memory()
        part.CopyFrom(memory)
        for other in names:
            if other != name:
                part.ClearField(other)
        wire += part.SerializeToString()
    assert fingerprint(completed(Memory.FromString(wire))) == fingerprint(completed(memory))


@given(accepted())
@few
def test_what_a_client_cannot_set_does_not_count(memory: Memory) -> None:
    dressed = Memory()
    dressed.CopyFrom(memory)
    dressed.name, dressed.revision, dressed.etag = "users/a", 5, "5"
    dressed.create_time.seconds = dressed.update_time.seconds = 5
    dressed.analysis.append(AnalysisResult(stage="embed"))
    unknown = dressed.SerializeToString() + b"\xfa\x7f\x03abc"
    assert fingerprint(completed(Memory.FromString(unknown))) == fingerprint(completed(memory))


def test_what_is_left_out_is_what_it_is_taken_as() -> None:
    assert marked() == marked(kind=1, occurred_precision=4, occurred_utc_offset=Duration())
    zero = marked(place=Place(name="x", latitude=0.0, longitude=0.0))
    assert zero == marked(place=Place(name="x", latitude=-0.0, longitude=-0.0))


DIGEST = f"sha256:{'0' * 64}"
DIFFERENT: list[dict[str, Any]] = [
    {},
    {"text": "I adopted a cat"},
    {"kind": 2},
    {"occurred_at": Timestamp(seconds=1_683_417_600, nanos=1000)},
    {"occurred_utc_offset": Duration(seconds=60)},
    {"occurred_precision": 3},
    {"occurred_until": Timestamp(seconds=1_683_417_600)},
    {"place": Place(name="x")},
    {"place": Place(name="x", latitude=0, longitude=0)},
    {"people": ["x"]},
    {"people": ["x", "y"]},
    {"people": ["y", "x"]},
    {"people": ["xy"]},
    {"labels": ["x"]},
    {"language": "x"},
    {"source": Source(conversation="x")},
    {"source": Source(conversation="x", position=1)},
    {"source": Source(conversation="x", speaker="x")},
    {"attachments": [Attachment(object="o", media_type="a/b", digest=DIGEST)]},
    {"attachments": [Attachment(object="o", media_type="a/b", digest=DIGEST)] * 2},
    {"attachments": [Attachment(object="o", media_type="a/b", digest=DIGEST, size=1)]},
]


def test_every_field_counts() -> None:
    assert len({marked(**fields) for fields in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "be6c168541ea4f74aec1dd933335257a8ac08104511229182800f76f2dcd7a59"),
        (
            {
                "kind": 2,
                "occurred_utc_offset": Duration(seconds=-3600),
                "occurred_precision": 3,
                "occurred_until": Timestamp(seconds=1_683_504_000, nanos=5000),
                "place": Place(name="Óbidos", latitude=39.36, longitude=-9.157),
                "people": ["Inês", "Bruno"],
                "labels": ["home"],
                "source": Source(conversation="c1", speaker="Inês", position=3),
                "language": "pt-PT",
                "attachments": [Attachment(object="o", media_type="image/png", size=5, digest=DIGEST)],
            },
            "7d260f944663ef688602685fd5b33489a371f9e8e14c1d7521be63345ed1fe31",
        ),
    ],
)
def test_fingerprints_are_for_ever(fields: dict[str, Any], expected: str) -> None:
    """Stored ones are compared with new ones: another encoding needs another version, beside this one."""
    assert marked(**fields).hex() == expected
