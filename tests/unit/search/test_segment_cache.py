"""Promises of the cache of segments."""

from uuid import UUID

from services.storage.columns import Columns, Row
from services.storage.feed import Now
from services.storage.freshness import State
from services.storage.segment import Segment
from services.storage.segments import Loading, SegmentCache

NOW = Now(State(1, False, b"l"), 1)


def segment(memories: int, dimensions: int = 0) -> Segment:
    rows = [Row(id=n.to_bytes(16, "big"), revision=1, terms=b"1234", occurred_at=n) for n in range(memories)]
    return Segment.build(Columns.of(rows), revision=1, dimensions=dimensions)


def owner(number: int) -> UUID:
    return UUID(int=number)


SIZE = segment(10).nbytes


def test_the_owner_that_was_not_searched_for_longest_goes_first() -> None:
    cache = SegmentCache(2 * SIZE)
    for number in (1, 2):
        cache.put(cache.entry(owner(number)), segment(10), has_vectors=True)
    cache.entry(owner(1))
    cache.put(cache.entry(owner(3)), segment(10), has_vectors=True)
    kept = [number for number in (1, 2, 3) if cache.drop(owner(number))[0]]
    assert kept == [1, 3]
    assert cache.evicted.value() == 1


def test_bytes_follow_the_segments() -> None:
    cache = SegmentCache(10 * SIZE)
    entry = cache.entry(owner(1))
    cache.put(entry, segment(10), has_vectors=False)
    cache.put(entry, segment(20), has_vectors=False)
    assert cache.bytes.value() == segment(20).nbytes
    assert cache.drop(owner(1)) == (1, segment(20).nbytes)
    assert cache.bytes.value() == 0


def test_a_segment_larger_than_all_room_does_not_stay_and_drives_nobody_out() -> None:
    cache = SegmentCache(SIZE)
    cache.put(cache.entry(owner(1)), segment(10), has_vectors=False)
    large = cache.entry(owner(2))
    cache.put(large, segment(1_000), has_vectors=False)
    assert cache.bytes.value() == SIZE
    assert cache.entry(owner(2)) is not large
    assert cache.drop(owner(1)) == (1, SIZE)


def test_a_search_that_holds_a_dropped_entry_does_not_bring_it_back() -> None:
    cache = SegmentCache(10 * SIZE)
    entry = cache.entry(owner(1))
    cache.drop(owner(1))
    cache.put(entry, segment(10), has_vectors=True)
    assert cache.bytes.value() == 0
    assert not cache.has_room(entry)


def test_dropping_ends_loading() -> None:
    cache = SegmentCache(10 * SIZE)
    entry = cache.entry(owner(1))
    loading = entry.loading = Loading()
    cache.drop()
    assert not loading.wanted


def test_vectors_are_loaded_only_where_they_will_have_room() -> None:
    cache = SegmentCache(3 * SIZE)
    entry = cache.entry(owner(1))
    assert not cache.has_room(entry)
    cache.put(entry, segment(10), has_vectors=False)
    assert cache.has_room(entry)
    cache.put(entry, segment(10, dimensions=384), has_vectors=False)
    assert not cache.has_room(entry)


def test_an_entry_suits_one_model_and_one_history() -> None:
    entry = SegmentCache(SIZE).entry(owner(1))
    assert not entry.suits(NOW)
    entry.renew(NOW)
    entry.segment = segment(1)
    assert entry.suits(Now(State(9, False, b"l"), 1))
    assert not entry.suits(Now(State(1, False, b"restored"), 1))
    assert not entry.suits(Now(State(1, False, b"l"), 2))
    entry.renew(Now(State(1, False, b"l"), 2))
    assert entry.segment is None
