"""What happened on given days of the year, newest first, page by page."""

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import UUID

from reverie.storage.v1 import search_pb2
from services.runtime.errors import TokenInvalid
from services.runtime.tokens import ConsistencyToken, Tokens
from services.storage import asked, queries, records
from services.storage.database import FAR_FUTURE
from services.storage.freshness import State

if TYPE_CHECKING:
    from services.storage.database import Pool, Record

KIND = "storage.days"

_LAST = struct.Struct("<16s16sqq16s")
_NOW = len(State._fields)
"""Where the time of the snapshot stands in a row; the memory follows."""


class Last(NamedTuple):
    """Where a page ended, and the state that the first page showed; the content of a page token."""

    occurred_at: int
    id: UUID
    seen: ConsistencyToken | None

    @classmethod
    def opened(cls, tokens: Tokens, request: search_pb2.ListOnDaysRequest, owner: UUID) -> Self:
        """Read a request's page token; the beginning without one. TokenInvalid if it is of another."""
        if not request.page_token:
            return cls(FAR_FUTURE, UUID(int=2**128 - 1), None)
        payload = tokens.open(KIND, request.page_token)
        if len(payload) < _LAST.size:
            raise TokenInvalid
        of_owner, of_request, revision, occurred_at, id_ = _LAST.unpack_from(payload)
        if (of_owner, of_request) != (owner.bytes, asked.digest_of_days(request)):
            raise TokenInvalid
        seen = ConsistencyToken(payload[_LAST.size :], owner, revision)
        return cls(occurred_at, UUID(bytes=id_), seen)

    def sealed(self, tokens: Tokens, digest: bytes) -> str:
        """Write a page token for the request of that digest (16 bytes)."""
        seen = self.seen
        assert seen is not None, "a page was read from some state"
        head = _LAST.pack(seen.owner.bytes, digest, seen.revision, self.occurred_at, self.id.bytes)
        return tokens.seal(KIND, head + seen.lineage)


async def rows(
    pool: "Pool", request: search_pb2.ListOnDaysRequest, owner: UUID, last: Last
) -> "list[Record]":
    """Read a page and one memory more. Always one row, whose first columns are the state."""
    days = sorted({day.month * 100 + day.day for day in request.days})
    return await pool.fetch(
        queries.text("list_on_days"),
        owner,
        days,
        request.before_year,
        last.occurred_at,
        last.id,
        request.page_size + 1,
    )


def page(
    tokens: Tokens,
    request: search_pb2.ListOnDaysRequest,
    user: str,
    owner: UUID,
    read: "Sequence[Record]",
    last: Last,
) -> search_pb2.ListOnDaysResponse:
    """Make a page of what `rows` read."""
    state = State.of(read[0])
    listed = [] if state.erased else [row for row in read if row["id"] is not None]
    response = search_pb2.ListOnDaysResponse(read_time=records.instant(read[0][_NOW]))
    for row in listed[: request.page_size]:
        records.put(response.memories.add(), user, row, _NOW + 1)
    if len(listed) > request.page_size:
        end = listed[request.page_size - 1]
        seen = last.seen or ConsistencyToken(state.lineage, owner, state.revision)
        after = Last(end["occurred_at"], end["id"], seen)
        response.next_page_token = after.sealed(tokens, asked.digest_of_days(request))
    return response
