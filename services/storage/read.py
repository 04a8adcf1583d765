"""Reading: the public half of storage. One statement a call, with the owner's revision in its snapshot."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import read_pb2, read_pb2_grpc
from services.runtime import names, principal
from services.runtime.errors import MemoryNotFound
from services.runtime.principal import Call
from services.runtime.tokens import ConsistencyToken, Tokens
from services.storage import limits, records, timeline
from services.storage.database import Pool
from services.storage.freshness import Freshness, State
from services.storage.queries import MEMORY, text
from services.storage.timeline import Continued, Place

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

    from services.storage.database import Record

    Memories = RepeatedCompositeFieldContainer[memory_pb2.Memory]

Context = grpc.aio.ServicerContext[Any, Any]

_HEAD = len(State._fields)
_FOUND = _HEAD + records.MEMORY_COLUMNS
_OCCURRED_AT = _HEAD + MEMORY.index("occurred_at")


class ReadService(read_pb2_grpc.StorageReadServiceServicer):
    """Answers with memories of one user as they are."""

    def __init__(self, pool: Pool, tokens: Tokens) -> None:
        self._pool = pool
        self._tokens = tokens
        self._freshness = Freshness(pool, tokens)

    async def GetMemory(  # noqa: N802
        self, request: read_pb2.GetMemoryRequest, context: Context
    ) -> read_pb2.GetMemoryResponse:
        """Gets one memory."""
        user, id_ = names.parse_memory(request.name)
        call = principal.call()
        owner = call.principal.owner_of(user)
        basic = request.view == memory_pb2.MEMORY_VIEW_BASIC
        rows = await self._pool.fetch(text("get_memory_basic" if basic else "get_memory"), owner, id_)
        state = await self._answer(context, call, owner, rows[0])
        if state.erased or rows[0][_HEAD] is None:
            raise MemoryNotFound
        response = read_pb2.GetMemoryResponse()
        records.put(response.memory, user, rows[0], _HEAD)
        if not basic and rows[0][_FOUND] is not None:
            for row in rows:
                response.memory.analysis.add(**records.embedding_fields(*row[_FOUND:]))
        return response

    async def BatchGetMemories(  # noqa: N802
        self, request: read_pb2.BatchGetMemoriesRequest, context: Context
    ) -> read_pb2.BatchGetMemoriesResponse:
        """Gets several memories, all from one state."""
        limits.check(limits.of_batch_get(request))
        user = names.parse_user(request.parent)
        call = principal.call()
        owner = call.principal.owner_of(user)
        asked = [names.parse_memory(name)[1] for name in request.names]
        full = request.view == memory_pb2.MEMORY_VIEW_FULL
        rows, found = await self._fetched("batch_get_memories", (owner, asked), full=full)
        state = await self._answer(context, call, owner, rows[0])
        response = read_pb2.BatchGetMemoriesResponse()
        there = {row[_HEAD]: row for row in _living(rows, state)}
        analysis = _by_memory(found)
        _put(response.memories, user, [there[id_] for id_ in asked if id_ in there], analysis)
        response.missing.extend(
            name for name, id_ in zip(request.names, asked, strict=True) if id_ not in there
        )
        return response

    async def ListMemories(  # noqa: N802
        self, request: read_pb2.ListMemoriesRequest, context: Context
    ) -> read_pb2.ListMemoriesResponse:
        """Lists a page of the timeline: as many memories as are asked for, or as fit."""
        limits.check(limits.of_list(request))
        user = names.parse_user(request.parent)
        call = principal.call()
        owner = call.principal.owner_of(user)
        continued = timeline.opened(self._tokens, request, owner)
        size = limits.page_size(request.page_size)
        rows, found = await self._fetched(
            "list_oldest" if timeline.oldest_first(request) else "list_newest",
            timeline.arguments(request, owner, continued.after if continued else None, size + 1),
            full=request.view == memory_pb2.MEMORY_VIEW_FULL,
        )
        state = await self._answer(context, call, owner, rows[0], continued.seen if continued else None)
        response = read_pb2.ListMemoriesResponse()
        analysis = _by_memory(found)
        _put(response.memories, user, _living(rows[:size], state), analysis)
        listed = timeline.fitting(response)
        del response.memories[listed:]
        if 0 < listed < len(rows):
            response.next_page_token = self._next(request, owner, state, rows[listed - 1])
        return response

    async def GetAnalysisState(  # noqa: N802
        self, request: read_pb2.GetAnalysisStateRequest, context: Context
    ) -> read_pb2.GetAnalysisStateResponse:
        """Says how much of a user's memories is still to be analysed."""
        user = names.parse_user(request.parent)
        call = principal.call()
        owner = call.principal.owner_of(user)
        (row,) = await self._pool.fetch(text("analysis_state"), owner)
        state = await self._answer(context, call, owner, row)
        due, oldest, dead = (0, None, 0) if state.erased else row[_HEAD:]
        return read_pb2.GetAnalysisStateResponse(
            due=due, oldest_due_time=None if oldest is None else records.instant(oldest), dead=dead
        )

    async def _answer(
        self, context: Context, call: Call, owner: UUID, row: "Record", seen: ConsistencyToken | None = None
    ) -> State:
        """The state that a row is of, once it is known to show what the caller has seen."""
        state = State.of(row)
        await self._freshness.require(state, self._freshness.asked(call, owner))
        await self._freshness.require(state, seen)
        context.set_trailing_metadata(self._freshness.metadata(owner, state))
        return state

    async def _fetched(
        self, name: str, arguments: tuple[Any, ...], *, full: bool
    ) -> "tuple[list[Record], list[Record]]":
        """The rows of a statement and, for the full view, what analysis found in their memories."""
        if not full:
            return await self._pool.fetch(text(name), *arguments), []
        async with self._pool.snapshot() as connection:
            rows = await connection.fetch(text(name), *arguments)
            ids = [row[_HEAD] for row in rows if row[_HEAD] is not None]
            return rows, await connection.fetch(text("analysis_found"), arguments[0], ids)

    def _next(self, request: read_pb2.ListMemoriesRequest, owner: UUID, state: State, last: "Record") -> str:
        seen = ConsistencyToken(state.lineage, owner, state.revision)
        after = Place(last[_OCCURRED_AT], last[_HEAD])
        return timeline.sealed(self._tokens, request, Continued(after, seen))


def _living(rows: "list[Record]", state: State) -> "list[Record]":
    """The rows that hold a memory: none where the owner is erased, or there is but a row for the state."""
    return [] if state.erased or rows[0][_HEAD] is None else rows


def _by_memory(found: "list[Record]") -> dict[UUID, list[records.Fields]]:
    """What analysis found, by memory."""
    analysis: dict[UUID, list[records.Fields]] = {}
    for id_, *what in found:
        analysis.setdefault(id_, []).append(records.embedding_fields(*what))
    return analysis


def _put(
    memories: "Memories", user: str, rows: "Iterable[Record]", analysis: dict[UUID, list[records.Fields]]
) -> None:
    """Adds the memories of rows, each with what analysis found in it."""
    add, put = memories.add, records.put
    for row in rows:
        message = add()
        put(message, user, row, _HEAD)
        if analysis:
            for found in analysis.get(row[_HEAD], ()):
                message.analysis.add(**found)
