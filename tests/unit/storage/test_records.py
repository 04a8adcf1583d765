"""Values between messages and the database."""

from uuid import UUID

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from reverie.memory.v1 import memory_pb2
from services.storage import records
from services.storage.database import FAR_FUTURE, FAR_PAST, float32, halfvec

YEAR, MONTH, DAY, INSTANT = range(1, 5)


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [
        (0, 0, 0),
        (-1, 999_999_000, -1),
        (0, 1, 1),
        (0, 1_000, 1),
        (0, 1_001, 2),
        (2**62, 0, FAR_FUTURE),
        (-(2**62), 0, FAR_PAST),
    ],
)
def test_an_instant_is_the_first_microsecond_not_before_it(seconds: int, nanos: int, expected: int) -> None:
    assert records.microseconds(Timestamp(seconds=seconds, nanos=nanos)) == expected


@given(st.integers(-62_135_510_400_000_000, 253_402_214_399_999_999))
def test_microseconds_become_the_same_instant_again(microseconds: int) -> None:
    assert records.microseconds(Timestamp(**records.instant(microseconds))) == microseconds


@pytest.mark.parametrize(
    ("seconds", "offset", "precision", "expected"),
    [
        (0, 0, INSTANT, 101),
        (-1, 0, DAY, 1231),
        (951_782_400, 0, DAY, 229),
        (951_868_799, 1, INSTANT, 301),
        (951_782_400, -1, INSTANT, 228),
        (0, 0, MONTH, None),
        (0, 0, YEAR, None),
        (-62_135_510_400, -18 * 60, INSTANT, 101),
        (253_402_214_399, 18 * 60, INSTANT, 1231),
    ],
)
def test_the_day_is_that_of_the_persons_clock(
    seconds: int, offset: int, precision: int, expected: int | None
) -> None:
    assert records.local_day(seconds * 1_000_000, offset, precision) == expected


@pytest.mark.parametrize(
    ("texts", "literal"),
    [
        ([], None),
        (["a"], '{"a"}'),
        (["a,b", "{}", 'say "x"', "\\", "NULL", ""], r'{"a,b","{}","say \"x\"","\\","NULL",""}'),
    ],
)
def test_every_element_of_an_array_is_quoted(texts: list[str], literal: str | None) -> None:
    assert records.array_literal(texts) == literal


def test_no_attachments_are_no_json() -> None:
    assert records.attachments_json([]) is None
    one = memory_pb2.Attachment(object="é", media_type="a/b", size=1 << 40, digest="d")
    assert records.attachments_json([one]) == '[["é", "a/b", 1099511627776, "d"]]'


def test_a_vector_travels_in_half_precision() -> None:
    vector = np.array([0.5, -1.25, 0.1], "<f4")
    sent = halfvec(vector.tobytes())
    assert sent[:4] == b"\0\3\0\0"
    assert np.allclose(np.frombuffer(float32(sent), "<f4"), vector, atol=1e-4)


def test_a_row_becomes_the_memory_that_it_is_of() -> None:
    row = (
        UUID(int=7), 5, 1_000_001, 2_000_000, 0, -90, 3, 2, "What it says.", "talk", "Ada", None,
        3_000_000, "de", "Home", 1.5, -2.5, ["x"], ["Ben", "Cleo"], '[["o", "a/b", 3, "d"]]',
    )  # fmt: skip
    assert len(row) == records.MEMORY_COLUMNS
    assert records.memory("ana", row) == memory_pb2.Memory(  # type: ignore[arg-type]
        name=f"users/ana/memories/{UUID(int=7)}",
        text="What it says.",
        kind=memory_pb2.MEMORY_KIND_MESSAGE,
        occurred_at={"seconds": 0},
        occurred_utc_offset={"seconds": -5400},
        occurred_precision=memory_pb2.OCCURRED_PRECISION_DAY,
        occurred_until={"seconds": 3},
        place={"name": "Home", "latitude": 1.5, "longitude": -2.5},
        people=["Ben", "Cleo"],
        labels=["x"],
        source={"conversation": "talk", "speaker": "Ada"},
        language="de",
        attachments=[{"object": "o", "media_type": "a/b", "size": 3, "digest": "d"}],
        revision=5,
        etag="5",
        create_time={"seconds": 1, "nanos": 1000},
        update_time={"seconds": 2},
    )


def test_a_row_of_little_becomes_a_memory_of_little() -> None:
    row = (UUID(int=7), 5, 0, None, -1, None, 4, 1, "x", *[None] * 11)
    assert records.memory("ana", row) == memory_pb2.Memory(  # type: ignore[arg-type]
        name=f"users/ana/memories/{UUID(int=7)}",
        text="x",
        kind=memory_pb2.MEMORY_KIND_NOTE,
        occurred_at={"seconds": -1, "nanos": 999_999_000},
        occurred_precision=memory_pb2.OCCURRED_PRECISION_INSTANT,
        revision=5,
        etag="5",
        create_time={"seconds": 0},
    )
