"""What the validator accepts, the database keeps as it is."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import read_pb2, write_pb2
from services.ingest import validation
from services.ingest.content import OUTPUT_ONLY, fill
from services.ingest.fingerprint import fingerprint
from services.runtime import names
from tests.stack.storage.harness import (
    TENANT,
    Context,
    Operation,
    Storage,
    batch,
    context,
    enter,
    new_id,
    owner_of,
)

WRITTEN = write_pb2.WRITE_STATUS_WRITTEN


def texts(least: int, most_bytes: int) -> st.SearchStrategy[str]:
    """Texts of so many bytes of UTF-8, of any characters; those that separate things come more often."""
    awkward = st.sampled_from("\x01\x1e\x7f\"'\\{},; \t\n\r%$\u2028\ufeff\ufffd\U0001f9e1éNUL")
    characters = st.one_of(awkward, st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    some = st.lists(characters, min_size=least, max_size=min(most_bytes // 4, 12))
    return some.map("".join).filter(lambda text: least <= len(text.encode()) <= most_bytes)


def instants() -> st.SearchStrategy[Timestamp]:
    seconds = st.one_of(
        st.integers(validation.EARLIEST, validation.LATEST - 1),
        st.sampled_from([validation.EARLIEST, validation.LATEST - 1, -1, 0, 946_684_800]),
    )
    micros = st.one_of(st.integers(0, 999_999), st.sampled_from([0, 1, 999_999]))
    return st.builds(lambda s, us: Timestamp(seconds=s, nanos=us * 1000), seconds, micros)


def optional(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), of)


NAMES = st.lists(texts(1, 64), max_size=4)

PLACES = st.one_of(
    st.builds(memory_pb2.Place, name=texts(1, 256)),
    st.builds(
        memory_pb2.Place,
        name=texts(1, 256),
        latitude=st.floats(-90, 90),
        longitude=st.floats(-180, 180),
    ),
)

SOURCES = st.builds(
    memory_pb2.Source, conversation=texts(1, 128), speaker=texts(0, 128), position=st.integers(0, 2**31 - 1)
)

ATTACHMENTS = st.lists(
    st.builds(
        memory_pb2.Attachment,
        object=texts(1, 512),
        media_type=texts(3, 127),
        size=st.integers(0, validation.MAX_ATTACHMENT_SIZE),
        digest=st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}"),
    ),
    max_size=3,
)

MEMORIES = st.builds(
    memory_pb2.Memory,
    text=texts(1, validation.MAX_TEXT),
    kind=st.sampled_from(list(memory_pb2.MemoryKind.values())),
    occurred_at=instants(),
    occurred_utc_offset=optional(
        st.integers(-18 * 60, 18 * 60).map(lambda minutes: {"seconds": minutes * 60})
    ),
    occurred_precision=st.sampled_from(list(memory_pb2.OccurredPrecision.values())),
    occurred_until=optional(instants()),
    place=optional(PLACES),
    people=NAMES,
    labels=NAMES,
    source=optional(SOURCES),
    language=st.text("abcXYZ019-", max_size=35),
    attachments=ATTACHMENTS,
).filter(lambda memory: not validation.violations(memory))


async def persisted(
    storage: Storage, memories: list[memory_pb2.Memory], *, many: bool = False
) -> list[memory_pb2.Memory]:
    """What is read back after memories were written, without what only the service sets.

    `many`: as those are written that come by the hundred.
    """
    operations = []
    for one in memories:
        content = write_pb2.Content()
        fill(content, one)
        create = {"content": content, "fingerprint": fingerprint(content.memory)}
        operations.append(Operation("ana", new_id(), {"create": create}))
    written = batch(*operations)
    written.without_memories = many
    response = await storage.writes.WriteBatch(written, context(Context()))
    assert [result.status for result in response.results] == [WRITTEN] * len(memories)
    enter("ana")
    wanted = [names.memory_name("ana", operation.id) for operation in operations]
    request = read_pb2.BatchGetMemoriesRequest(parent="users/ana", names=wanted)
    found = list((await storage.reads.BatchGetMemories(request, context(Context()))).memories)
    assert [one.name for one in found] == wanted
    for one in found:
        for field in OUTPUT_ONLY:
            one.ClearField(field)
    return found


def kept(memory: memory_pb2.Memory) -> memory_pb2.Memory:
    """What is to be kept of an accepted memory."""
    content = write_pb2.Content()
    fill(content, memory)
    return content.memory


# Not shrunk: that takes minutes against a database, and the memory that differs says enough.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=50, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(memories=st.lists(MEMORIES, min_size=1, max_size=8), many=st.booleans())
async def test_every_accepted_memory_is_read_back_as_it_was_given(
    storage: Storage, memories: list[memory_pb2.Memory], many: bool
) -> None:
    assert await persisted(storage, memories, many=many) == [kept(memory) for memory in memories]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * validation.MAX_TEXT},
        {"text": "é" * (validation.MAX_TEXT // 2)},
        {"people": ["p" * 128] * validation.MAX_PEOPLE, "labels": ["l" * 64] * validation.MAX_LABELS},
        {"labels": ["{}", '","', "\\", "NULL", " ", '"']},
        {"attachments": [
            {"object": "o" * 512, "media_type": "m" * 127, "size": 1 << 40, "digest": "sha256:" + "0" * 64}
        ] * validation.MAX_ATTACHMENTS},
        {"place": {"name": "\\x00", "latitude": -0.1, "longitude": 180.0}},
    ],
)  # fmt: skip
async def test_memories_at_their_limits_are_kept(
    storage: Storage, fields: dict[str, Any], many: bool
) -> None:
    memory = memory_pb2.Memory(**{"text": "x", "occurred_at": {"seconds": 0}, **fields})
    assert validation.violations(memory) == []
    assert await persisted(storage, [memory], many=many) == [kept(memory)]


async def test_the_owner_is_derived_from_tenant_and_user(storage: Storage) -> None:
    await persisted(storage, [memory_pb2.Memory(text="x", occurred_at={"seconds": 0})])
    ((owner, tenant, user),) = await storage.sql("SELECT owner, tenant, user_name FROM owners")
    assert (owner, tenant, user) == (owner_of("ana"), TENANT, "ana")
