from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.ids import derived_id, parse_id

NOW = datetime(2026, 5, 7, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)

alphabet = st.characters(exclude_categories=["Cs"])


def uuid_of(ms: int, version: int = 7, noise: int = 5) -> str:
    return str(UUID(int=ms << 80 | version << 76 | 0b10 << 62 | noise))


@pytest.mark.parametrize("version", [7, 8])
@pytest.mark.parametrize("ms", [0, 1, NOW_MS, NOW_MS + 600_000])
def test_an_id_from_1970_to_ten_minutes_from_now_is_accepted(version: int, ms: int) -> None:
    assert parse_id(uuid_of(ms, version), NOW) == UUID(uuid_of(ms, version)).bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        uuid_of(NOW_MS + 600_001),
        uuid_of(2**48 - 1),
        uuid_of(NOW_MS, 4),
        uuid_of(NOW_MS, 1),
        uuid_of(NOW_MS).upper().replace("0", "A", 1),
        uuid_of(NOW_MS).replace("-", ""),
        f"{{{uuid_of(NOW_MS)}}}",
        f"{uuid_of(NOW_MS)}\n",
        f" {uuid_of(NOW_MS)}",
        str(UUID(int=NOW_MS << 80 | 7 << 76 | 0b11 << 62)),
    ],
)
def test_any_other_id_is_not(text: str) -> None:
    assert parse_id(text, NOW) is None


@given(st.text(max_size=40) | st.uuids().map(str))
def test_any_text_is_an_id_or_none(text: str) -> None:
    found = parse_id(text, NOW)
    assert found is None or (str(UUID(bytes=found)) == text and UUID(bytes=found).version in {7, 8})


@given(st.text(alphabet, min_size=1), st.integers(0, NOW_MS), st.integers(0, 999))
def test_a_derived_id_is_accepted_and_the_same_each_time(request_id: str, ms: int, index: int) -> None:
    derived = derived_id(request_id, ms, index)
    assert derived == derived_id(request_id, ms, index)
    assert derived.int >> 80 == ms
    assert parse_id(str(derived), NOW) == derived.bytes


@given(st.integers(0, 10**30))
def test_an_id_is_derived_from_any_time_that_the_edge_may_stamp(ms: int) -> None:
    assert derived_id("r", ms, 0).version == 8


def test_derived_ids_of_different_items_and_calls_differ() -> None:
    ids = {derived_id(request, NOW_MS, index) for request in ("r", "s", "r\n1") for index in range(1000)}
    assert len(ids) == 3000


def test_a_clock_that_is_slow_by_less_than_ten_minutes_does_no_harm() -> None:
    fast = int((NOW + timedelta(minutes=9)).timestamp() * 1000)
    assert parse_id(uuid_of(fast), NOW) is not None
