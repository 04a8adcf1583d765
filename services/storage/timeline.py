"""Pages of the timeline: what a request asks the database for, and where the next page begins. Pure."""

import hmac
import struct
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import read_pb2
from services.runtime.errors import TokenInvalid
from services.runtime.tokens import ConsistencyToken, Tokens
from services.storage import records
from services.storage.database import FAR_FUTURE, FAR_PAST

KIND = "timeline"
"""The kind of our page tokens."""

PAGE_BYTES = 4 * 1024 * 1024
"""A page ends before it is larger, whatever its size was to be; one memory is always on it."""

LARGEST_MEMORY = 64 * 1024
"""No memory takes more bytes on a page, by the limits of its fields: 32 KiB of text, 8 of people, 12 of
attachments."""

_LAYOUT = struct.Struct("<16s16sqq16s")
_DIGEST_BYTES = 16
_FIRST_ID, _LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class Place(NamedTuple):
    """A place between two memories of the timeline: after the one of this time and id."""

    occurred_at: int
    id: UUID


class Continued(NamedTuple):
    """What a page token says."""

    after: Place
    seen: ConsistencyToken
    """The state of the page before; the next one is not older."""


def oldest_first(request: read_pb2.ListMemoriesRequest) -> bool:
    """Which end of the timeline comes first."""
    return request.order == read_pb2.TIMELINE_ORDER_OLDEST_FIRST


def arguments(
    request: read_pb2.ListMemoriesRequest, owner: UUID, after: Place | None, count: int
) -> tuple[Any, ...]:
    """The arguments of `list_newest` and `list_oldest`."""
    if after is None:
        after = Place(FAR_PAST, _FIRST_ID) if oldest_first(request) else Place(FAR_FUTURE, _LAST_ID)
    # Most pages are of everything: asking an empty filter for each of its fields costs as much as the rest.
    span = _span(request.time_range) if request.HasField("time_range") else (FAR_PAST, FAR_FUTURE)
    only = filter_arguments(request.filter) if request.HasField("filter") else _EVERYTHING
    return (owner, *span, *after, count, *only)


def filter_arguments(only: memory_pb2.MemoryFilter) -> tuple[Any, ...]:
    """Kinds, labels, people, speaker, conversation, as statements take them: None where nothing is asked."""
    return (
        list(only.kinds) or None,
        list(only.labels) or None,
        list(only.people) or None,
        only.speaker or None,
        only.conversation or None,
    )


def _span(span: memory_pb2.TimeRange) -> tuple[int, int]:
    """The first instant inside and the first after, in microseconds."""
    return (
        records.microseconds(span.start_time) if span.HasField("start_time") else FAR_PAST,
        records.microseconds(span.end_time) if span.HasField("end_time") else FAR_FUTURE,
    )


_EVERYTHING = filter_arguments(memory_pb2.MemoryFilter())


def fitting(page: read_pb2.ListMemoriesResponse) -> int:
    """How many of a page's memories, from the first on, it has room for."""
    memories = page.memories
    # Measuring a page takes half as long as sealing its token: few memories have room in any case.
    if len(memories) * LARGEST_MEMORY <= PAGE_BYTES or page.ByteSize() <= PAGE_BYTES:
        return len(memories)
    number, room = 0, PAGE_BYTES
    for memory in memories:
        room -= memory.ByteSize()
        if room < 0 and number:
            break
        number += 1
    return number


def digest(request: read_pb2.ListMemoriesRequest) -> bytes:
    """What stays the same from page to page."""
    fields = read_pb2.ListMemoriesRequest()
    fields.CopyFrom(request)
    fields.ClearField("page_token")
    fields.ClearField("page_size")
    return blake2b(fields.SerializeToString(deterministic=True), digest_size=_DIGEST_BYTES).digest()


def sealed(tokens: Tokens, request: read_pb2.ListMemoriesRequest, continued: Continued) -> str:
    """The page token for what comes after a place, bound to its owner and request."""
    seen, after = continued.seen, continued.after
    head = _LAYOUT.pack(seen.owner.bytes, digest(request), seen.revision, after.occurred_at, after.id.bytes)
    return tokens.seal(KIND, head + seen.lineage)


def opened(tokens: Tokens, request: read_pb2.ListMemoriesRequest, owner: UUID) -> Continued | None:
    """What the request's page token says; None if it has none.

    TokenInvalid if it is not ours, another owner's, or of another request.
    """
    if not request.page_token:
        return None
    payload = tokens.open(KIND, request.page_token)
    if len(payload) < _LAYOUT.size:
        raise TokenInvalid
    of_owner, of_request, revision, occurred_at, id_ = _LAYOUT.unpack_from(payload)
    if of_owner != owner.bytes or not hmac.compare_digest(of_request, digest(request)):
        raise TokenInvalid
    seen = ConsistencyToken(payload[_LAYOUT.size :], owner, revision)
    return Continued(Place(occurred_at, records.id_of(id_)), seen)
