from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from reverie_client.ids import Ids, derived_id


class Clock:
    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def __call__(self) -> int:
        return self.milliseconds


def time_of(minted: UUID) -> int:
    return minted.int >> 80


def test_minted_ids_are_of_version_7_and_tell_their_time() -> None:
    minted = Ids(Clock(1_700_000_000_123)).mint()
    assert (minted.version, minted.variant) == (7, "specified in RFC 4122")
    assert time_of(minted) == 1_700_000_000_123


def test_ids_rise_within_a_millisecond_even_beyond_its_counter() -> None:
    ids = Ids(Clock(1_700_000_000_000))
    minted = [ids.mint() for _ in range(10_000)]
    assert minted == sorted(minted)
    assert len(set(minted)) == len(minted)
    assert time_of(minted[-1]) - time_of(minted[0]) < 10


def test_ids_rise_when_the_clock_steps_back_a_little() -> None:
    clock = Clock(1_700_000_000_000)
    ids = Ids(clock)
    first = ids.mint()
    clock.milliseconds -= 5_000
    assert ids.mint() > first


def test_a_clock_that_is_set_back_by_far_is_followed() -> None:
    clock = Clock(1_700_000_000_000)
    ids = Ids(clock)
    ids.mint()
    clock.milliseconds -= 3_600_000
    assert time_of(ids.mint()) == clock.milliseconds


def test_the_same_time_and_source_id_derive_the_same_id() -> None:
    at = datetime(2024, 3, 9, 18, 20, tzinfo=UTC)
    same = at.astimezone(timezone(timedelta(hours=5)))
    assert derived_id(at, "chat/1") == derived_id(same, "chat/1")
    assert derived_id(at, "chat/1") == UUID("018e2471-7880-864a-b44e-0c63725ae010")


def test_another_time_or_source_id_derives_another_id() -> None:
    at = datetime(2024, 3, 9, 18, 20, tzinfo=UTC)
    derived = {
        derived_id(at, "a"),
        derived_id(at, "b"),
        derived_id(at + timedelta(microseconds=1), "a"),
        derived_id(at + timedelta(days=1), "a"),
    }
    assert len(derived) == 4


def test_derived_ids_are_of_version_8_and_tell_the_time_of_the_source() -> None:
    at = datetime(2024, 3, 9, 18, 20, tzinfo=UTC)
    derived = derived_id(at, "chat/1")
    assert (derived.version, derived.variant) == (8, "specified in RFC 4122")
    assert time_of(derived) == int(at.timestamp() * 1000)


def test_times_before_1970_are_set_to_1970_and_stay_apart() -> None:
    early = derived_id(datetime(1931, 5, 1, tzinfo=UTC), "letter")
    earlier = derived_id(datetime(1, 1, 2, tzinfo=UTC), "letter")
    assert time_of(early) == time_of(earlier) == 0
    assert early != earlier
