import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import read_pb2
from services.ingest import validation
from services.runtime import names
from services.storage import records, timeline
from services.storage.analyses import MODEL_NAMES

_LAST = Timestamp(seconds=validation.LATEST - 1, nanos=999_999_000)


def largest() -> memory_pb2.Memory:
    """A memory with every field at its limit."""
    memory = memory_pb2.Memory(
        text="x" * validation.MAX_TEXT,
        kind=memory_pb2.MEMORY_KIND_EVENT,
        occurred_at=_LAST,
        occurred_utc_offset=Duration(seconds=-validation.MAX_OFFSET),
        occurred_precision=memory_pb2.OCCURRED_PRECISION_DAY,
        occurred_until=_LAST,
        place=memory_pb2.Place(name="x" * 256, latitude=1.0, longitude=1.0),
        people=[f"{n:0128}" for n in range(validation.MAX_PEOPLE)],
        labels=[f"{n:064}" for n in range(validation.MAX_LABELS)],
        source=memory_pb2.Source(conversation="x" * 128, speaker="x" * 128, position=2**31 - 1),
        language="x" * 35,
        attachments=[
            memory_pb2.Attachment(
                object=f"{n:0512}",
                media_type=f"image/{'x' * 121}",
                size=validation.MAX_ATTACHMENT_SIZE,
                digest=f"sha256:{n:064x}",
            )
            for n in range(validation.MAX_ATTACHMENTS)
        ],
    )
    assert not validation.violations(memory)
    return memory


def as_listed(memory: memory_pb2.Memory) -> memory_pb2.Memory:
    """The memory with all that the service sets, at its longest."""
    memory.name = names.memory_name("u" * 128, records.id_of(b"\xff" * 16))
    memory.revision, memory.etag = 2**63 - 1, names.etag(2**63 - 1)
    memory.create_time.CopyFrom(_LAST)
    memory.update_time.CopyFrom(_LAST)
    for model in MODEL_NAMES:
        memory.analysis.add(**records.embedding_fields(model, 2**63 - 1, 2**15))
    return memory


def test_a_memory_with_every_field_at_its_limit_is_no_larger_than_pages_reckon_with() -> None:
    assert as_listed(largest()).ByteSize() <= timeline.LARGEST_MEMORY


def test_a_page_ends_where_it_would_be_too_large() -> None:
    memory = as_listed(largest())
    page = read_pb2.ListMemoriesResponse(memories=[memory] * 200)

    fits = timeline.fitting(page)

    assert fits == timeline.PAGE_BYTES // memory.ByteSize()
    assert fits < 200


@pytest.mark.parametrize("count", [0, 1, timeline.PAGE_BYTES // timeline.LARGEST_MEMORY])
def test_a_page_of_few_memories_has_room_for_all(count: int) -> None:
    page = read_pb2.ListMemoriesResponse(memories=[as_listed(largest())] * count)

    assert timeline.fitting(page) == count
