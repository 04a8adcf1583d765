import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.ingest.v1.ingest_pb2 import UpdateMemoryRequest
from reverie.memory.v1.memory_pb2 import Memory, Place
from services.ingest.content import complete
from services.ingest.mask import CHANGEABLE, merged, violations
from tests.unit.ingest.memories import accepted, plain

few = settings(max_examples=40)
paths = st.lists(st.sampled_from(CHANGEABLE), unique=True)


def parts(memory: Memory, names: set[str]) -> bytes:
    """The fields of those names."""
    part = Memory()
    part.CopyFrom(memory)
    for field in Memory.DESCRIPTOR.fields_by_name:
        if field not in names:
            part.ClearField(field)
    return part.SerializeToString(deterministic=True)


def broken(memory: Memory, *mask: str) -> list[str]:
    request = UpdateMemoryRequest(memory=memory, update_mask=FieldMask(paths=mask))
    return [violation.field for violation in violations(request)]


@given(accepted(), accepted(), paths)
@few
def test_the_fields_of_the_mask_change_and_no_others(
    current: Memory, change: Memory, mask: list[str]
) -> None:
    complete(current)
    complete(change)
    after = merged(current, change, mask)
    assert parts(after, set(mask)) == parts(change, set(mask))
    others = set(Memory.DESCRIPTOR.fields_by_name) - set(mask)
    assert parts(after, others) == parts(current, others)


@given(accepted(), accepted(), paths)
@few
def test_an_update_that_is_repeated_changes_nothing_more(
    current: Memory, change: Memory, mask: list[str]
) -> None:
    once = merged(current, change, mask)
    assert merged(once, change, mask) == once


def test_neither_side_is_changed_by_a_merge() -> None:
    current, change = plain(revision=5), plain(text="other", revision=6)
    assert merged(current, change, ["text"]).text == "other"
    assert (current, change) == (plain(revision=5), plain(text="other", revision=6))


def test_a_field_of_the_mask_that_is_not_set_is_cleared() -> None:
    current = plain(place=Place(name="Lisbon"), labels=["a"], occurred_precision=2)
    after = merged(current, Memory(), ["place", "labels", "occurred_precision"])
    assert not after.HasField("place")
    assert (list(after.labels), after.occurred_precision) == ([], 4)


def test_lists_are_replaced_and_not_appended_to() -> None:
    assert list(merged(plain(labels=["a"]), plain(labels=["b"]), ["labels"]).labels) == ["b"]


@pytest.mark.parametrize(
    "path", ["name", "kind", "source", "revision", "etag", "analysis", "place.name", "", "*", "Text"]
)
def test_what_does_not_change_is_no_path(path: str) -> None:
    assert broken(plain(), "text", path) == ["update_mask.paths[1]"]


def test_a_mask_has_one_to_sixteen_paths() -> None:
    assert broken(plain()) == ["update_mask"]
    assert broken(plain(), *["text"] * 16) == []
    assert broken(plain(), *["text"] * 17) == ["update_mask"]


def test_only_fields_of_the_mask_need_to_be_within_their_limits() -> None:
    memory = Memory(labels=["", "x" * 65], occurred_at=Timestamp(nanos=1))
    assert broken(memory, "text", "labels") == ["memory.text", "memory.labels[0]", "memory.labels[1]"]
    assert broken(memory, "language") == []


def test_an_end_before_1970_may_change_alone() -> None:
    assert broken(Memory(occurred_until=Timestamp(seconds=-5)), "occurred_until") == []
