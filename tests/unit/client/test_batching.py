from collections.abc import Iterator

from reverie.ingest.v1 import ingest_pb2
from reverie.memory.v1 import memory_pb2
from reverie_client.batching import MAX_BYTES, MAX_ITEMS, chunks

LIMIT = 4 * 1024 * 1024


def request(size: int) -> ingest_pb2.CreateMemoryRequest:
    return ingest_pb2.CreateMemoryRequest(memory=memory_pb2.Memory(text="x" * size))


def call(chunk: list[ingest_pb2.CreateMemoryRequest]) -> ingest_pb2.BatchCreateMemoriesRequest:
    return ingest_pb2.BatchCreateMemoriesRequest(parent="users/" + "u" * 128, requests=chunk)


def test_small_memories_go_by_the_thousand() -> None:
    cut = list(chunks(request(10) for _ in range(2500)))
    assert [len(chunk) for chunk in cut] == [MAX_ITEMS, MAX_ITEMS, 500]


def test_large_memories_go_in_calls_that_stay_under_four_mebibytes() -> None:
    sent = [request(32_768) for _ in range(400)]
    cut = list(chunks(sent))
    assert [each for chunk in cut for each in chunk] == sent
    assert all(call(chunk).ByteSize() < LIMIT for chunk in cut)
    assert all(call(chunk).ByteSize() > LIMIT * 0.95 for chunk in cut[:-1])


def test_one_that_is_too_large_alone_goes_alone() -> None:
    cut = list(chunks([request(1), request(MAX_BYTES + 1), request(1)]))
    assert [len(chunk) for chunk in cut] == [1, 1, 1]


def test_nothing_makes_no_call() -> None:
    assert list(chunks([])) == []


def test_no_more_is_read_than_the_next_call_needs() -> None:
    read = 0

    def requests() -> Iterator[ingest_pb2.CreateMemoryRequest]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield request(1)

    next(chunks(requests(), max_items=10))
    assert read == 11
