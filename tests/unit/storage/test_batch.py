"""Batches: their shape, their order, their halves."""

from uuid import UUID

import pytest

from reverie.storage.v1 import write_pb2
from services.runtime.errors import InvalidArgument
from services.storage.batch import Batch, Operation

LOW, HIGH = UUID(int=1), UUID(int=2**127)
TENANT = UUID(int=9)
COLUMNS = {name: place for place, name in enumerate(Operation._fields, start=4)}


def request(*changes: tuple[int, int, dict[str, object]]) -> write_pb2.WriteBatchRequest:
    """Operations (owner, id, change) of two owners, the higher one first."""
    return write_pb2.WriteBatchRequest(
        owners=[
            {"owner": owner.bytes, "tenant": TENANT.bytes, "user": user}
            for owner, user in ((HIGH, "high"), (LOW, "low"))
        ],
        operations=[
            {"owner_index": owner, "id": UUID(int=id_).bytes, **change} for owner, id_, change in changes
        ],
    )


def create(text: str = "x", **fields: object) -> dict[str, object]:
    memory = {"text": text, "occurred_at": {"seconds": 86_400, "nanos": 5_000}, **fields}
    content = {"memory": memory, "terms": b"\1\0\0\0", "analyzer": 1}
    return {"create": {"content": content, "fingerprint": b"f" * 32}}


def column(batch: Batch, name: str) -> object:
    return batch.arguments()[COLUMNS[name]]


DELETE: dict[str, object] = {"delete": {}}


def test_owners_are_sorted_and_operations_keep_their_order() -> None:
    batch = Batch.of(request((0, 1, create()), (1, 2, create()), (0, 3, create())))
    owners, tenants, users, *_ = batch.arguments()
    assert owners == [LOW, HIGH]
    assert tenants == [TENANT, TENANT]
    assert users == ["low", "high"]
    assert column(batch, "owner") == [2, 1, 2]
    assert column(batch, "id") == [UUID(int=1), UUID(int=2), UUID(int=3)]


def test_changes_are_listed_by_their_places_from_one() -> None:
    change: dict[str, object] = {"update": {**create()["create"], "from_revision": 7}}  # type: ignore[dict-item]
    change["update"].pop("fingerprint")  # type: ignore[attr-defined]
    batch = Batch.of(request((0, 1, create()), (0, 2, DELETE), (0, 3, change)))
    assert batch.arguments()[3] == [2, 3]
    assert column(batch, "op") == [0, 2, 1]
    assert column(batch, "from_revision") == [None, None, 7]


def test_columns_without_any_value_are_left_out() -> None:
    batch = Batch.of(request((0, 1, create()), (0, 2, create(language="en"))))
    assert column(batch, "place") is None
    assert column(batch, "language") == [None, "en"]


def test_an_instant_is_in_microseconds_and_a_day_is_the_persons_own() -> None:
    late = {"seconds": 86_399}
    batch = Batch.of(
        request(
            (0, 1, create()),
            (0, 2, create(occurred_at=late, occurred_utc_offset={"seconds": 3600})),
            (0, 3, create(occurred_at=late, occurred_precision=2)),
        )
    )
    assert column(batch, "occurred_at") == [86_400_000_005, 86_399_000_000, 86_399_000_000]
    assert column(batch, "occurred_offset") == [None, 60, None]
    assert column(batch, "local_day") == [102, 102, None]


def test_halves_are_the_whole_and_know_their_owners() -> None:
    batch = Batch.of(request((0, 1, create()), (0, 2, create()), (1, 3, create())))
    first, second = batch.halves()
    assert [*first.operations(), *second.operations()] == [*batch.operations()]
    assert [place for place, _ in second.operations()] == [1, 2]
    assert [owner.user for owner in first.owners()] == ["high"]
    assert [owner.user for owner in second.owners()] == ["low", "high"]


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (request(), "operations"),
        (request((0, 1, DELETE), (0, 1, DELETE)), "operations"),
        (request((2, 1, DELETE)), "operations[0].owner_index"),
        (request((0, 1, {})), "operations[0].change"),
    ],
)
def test_a_batch_of_the_wrong_shape_is_refused(broken: write_pb2.WriteBatchRequest, field: str) -> None:
    with pytest.raises(InvalidArgument) as wrong:
        Batch.of(broken)
    assert [one for one, _ in wrong.value.violations] == [field]


def test_an_owner_listed_twice_is_refused() -> None:
    twice = request((0, 1, DELETE))
    twice.owners[1].owner = twice.owners[0].owner
    with pytest.raises(InvalidArgument):
        Batch.of(twice)


RARE: dict[str, object] = {
    "occurred_until": {"seconds": 90_000},
    "place": {"name": "Porto", "latitude": 41.1, "longitude": -8.6},
    "people": ["Ana"],
    "labels": ["a", "b"],
    "language": "pt",
    "attachments": [{"object": "o", "media_type": "a/b", "size": 1, "digest": "d"}],
}


def columns(**changed: object) -> write_pb2.WriteBatchRequest:
    """Three creates: with an offset and a source, with what is rare, and of the other owner."""
    told: dict[str, object] = {
        "ids": b"".join(UUID(int=id_).bytes for id_ in (1, 2, 3)),
        "owner_indices": [0, 0, 1],
        "occurred_at": [86_400_000_005, 86_399_000_000, 0],
        "occurred_offsets": [60, -32_768, 0],
        "occurred_precisions": [4, 4, 2],
        "kinds": [1, 2, 1],
        "traits": [0, 1, 2],
        "analyzer": 1,
        "fingerprints": b"f" * 32 + b"g" * 32 + b"h" * 32,
        "terms": [b"", b"\1\0\0\0", b"\2\0\0\0"],
        "texts": ["x", "y", "z"],
        "conversations": ["c", "", "c"],
        "speakers": ["s", "", ""],
        "positions": [7, 0, 0],
        "rare": [{"place": 1, "memory": RARE}],
    }
    batch = request()
    batch.creates.CopyFrom(write_pb2.CreateColumns(**(told | changed)))  # type: ignore[arg-type]
    return batch


def test_columns_are_what_operations_are() -> None:
    source = {"conversation": "c"}
    first = create(
        "x", occurred_utc_offset={"seconds": 3600}, source={**source, "speaker": "s", "position": 7},
        kind=1, occurred_precision=4,
    )  # fmt: skip
    second = create("y", occurred_at={"seconds": 86_399}, kind=2, occurred_precision=4, **RARE)
    third = create("z", occurred_at={}, occurred_utc_offset={}, source=source, kind=1, occurred_precision=2)
    for at, (change, mark) in enumerate(zip((first, second, third), (b"f", b"g", b"h"), strict=True)):
        told: dict[str, object] = change["create"]  # type: ignore[assignment]
        told["fingerprint"] = mark * 32
        told["content"] |= {"traits": at, "terms": at.to_bytes(4, "little") if at else b""}  # type: ignore[operator]
    alike = request((0, 1, first), (0, 2, second), (1, 3, third))
    assert Batch.of(columns()).arguments() == Batch.of(alike).arguments()


def test_the_creates_of_one_owner_have_the_arguments_of_any_batch_but_for_what_is_alike() -> None:
    several, one = Batch.of(columns()), Batch.of(columns(owner_indices=()))
    (owner,), (tenant,), (user,), _, _, _, ids, _from_revision, *content = one.arguments()
    assert one.create_arguments() == [owner, tenant, user, ids, *content]
    assert one.creates_of_one_owner()
    assert not several.creates_of_one_owner()
    assert not Batch.of(request((0, 1, create()), (0, 2, DELETE))).creates_of_one_owner()


def test_columns_that_are_left_out_have_nothing() -> None:
    left_out = ("owner_indices", "occurred_offsets", "conversations", "speakers", "positions", "rare")
    batch = Batch.of(columns(**dict.fromkeys(left_out, ())))
    assert [owner.user for owner in batch.owners()] == ["high"]
    for name in ("occurred_offset", "conversation", "speaker", "position", "place", "language", "labels"):
        assert column(batch, name) is None


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"texts": []}, "texts"),
        ({"ids": b"short"}, "ids"),
        ({"ids": UUID(int=1).bytes * 2 + UUID(int=3).bytes}, "ids"),
        ({"fingerprints": b"short"}, "fingerprints"),
        ({"kinds": []}, "kinds"),
        ({"terms": [b""]}, "terms"),
        ({"speakers": ["s"]}, "speakers"),
        ({"owner_indices": [0, 1, 2]}, "owner_indices"),
        ({"owner_indices": [0, 1, -1]}, "owner_indices"),
        ({"rare": [{"place": 3}]}, "rare"),
    ],
)
def test_columns_of_the_wrong_shape_are_refused(changed: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as wrong:
        Batch.of(columns(**changed))
    assert f"creates.{field}" in {one for one, _ in wrong.value.violations}


def test_a_batch_has_operations_or_creates() -> None:
    both = columns()
    both.operations.add().CopyFrom(request((0, 9, DELETE)).operations[0])
    with pytest.raises(InvalidArgument):
        Batch.of(both)
