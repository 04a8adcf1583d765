"""A Reverie of a screen, in this process: what the client says has to make sense to somebody on a wire."""
# ruff: noqa: N802 - gRPC names the methods

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from reverie.echo.v1 import echo_pb2, echo_pb2_grpc
from reverie.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from reverie.memory.v1 import memory_pb2
from reverie.query.v1 import query_pb2, query_pb2_grpc
from reverie.storage.v1 import admin_pb2, admin_pb2_grpc, read_pb2, read_pb2_grpc
from services.runtime import errors as service_errors

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class SmallReverie(
    ingest_pb2_grpc.IngestServiceServicer,
    read_pb2_grpc.StorageReadServiceServicer,
    query_pb2_grpc.QueryServiceServicer,
    admin_pb2_grpc.StorageAdminServiceServicer,
    echo_pb2_grpc.EchoServiceServicer,
):
    """Keeps memories in a dictionary, fails as it is told, and remembers the metadata of calls."""

    failures: list[service_errors.ReverieError] = field(default_factory=list)
    fail_after_the_work: bool = False
    memories: dict[str, memory_pb2.Memory] = field(default_factory=dict)
    item_failures: dict[str, list[service_errors.ReverieError]] = field(default_factory=dict)
    """What memories of a batch end with at first, by text."""
    metadata: list[dict[str, str]] = field(default_factory=list)
    revision: int = 0

    async def CreateMemory(
        self, request: ingest_pb2.CreateMemoryRequest, context: Context
    ) -> ingest_pb2.CreateMemoryResponse:
        await self._enter(context, before=True)
        memory = self._create(request.parent, request)
        await self._enter(context, before=False)
        context.set_trailing_metadata((("reverie-token", f"token-{self.revision}"),))
        return ingest_pb2.CreateMemoryResponse(memory=memory)

    async def BatchCreateMemories(
        self, request: ingest_pb2.BatchCreateMemoriesRequest, context: Context
    ) -> ingest_pb2.BatchCreateMemoriesResponse:
        await self._enter(context)
        return ingest_pb2.BatchCreateMemoriesResponse(
            results=[self._create_item(request.parent, each) for each in request.requests]
        )

    async def UpdateMemory(
        self, request: ingest_pb2.UpdateMemoryRequest, context: Context
    ) -> ingest_pb2.UpdateMemoryResponse:
        await self._enter(context)
        memory = self.memories[request.memory.name]
        if memory.etag != request.memory.etag:
            await self._refuse(context, service_errors.EtagMismatch())
        for path in request.update_mask.paths:
            memory.ClearField(path)
        changed = memory_pb2.Memory()
        request.update_mask.MergeMessage(request.memory, changed)
        memory.MergeFrom(changed)
        self._stamp(memory)
        return ingest_pb2.UpdateMemoryResponse(memory=memory)

    async def DeleteMemory(
        self, request: ingest_pb2.DeleteMemoryRequest, context: Context
    ) -> ingest_pb2.DeleteMemoryResponse:
        await self._enter(context)
        self.memories.pop(request.name, None)
        return ingest_pb2.DeleteMemoryResponse()

    async def GetMemory(
        self, request: read_pb2.GetMemoryRequest, context: Context
    ) -> read_pb2.GetMemoryResponse:
        await self._enter(context)
        if request.name not in self.memories:
            await self._refuse(context, service_errors.MemoryNotFound())
        return read_pb2.GetMemoryResponse(memory=self.memories[request.name])

    async def BatchGetMemories(
        self, request: read_pb2.BatchGetMemoriesRequest, context: Context
    ) -> read_pb2.BatchGetMemoriesResponse:
        await self._enter(context)
        there = [name for name in request.names if name in self.memories]
        return read_pb2.BatchGetMemoriesResponse(
            memories=[self.memories[name] for name in there],
            missing=[name for name in request.names if name not in there],
        )

    async def ListMemories(
        self, request: read_pb2.ListMemoriesRequest, context: Context
    ) -> read_pb2.ListMemoriesResponse:
        await self._enter(context)
        ordered = sorted(self._of(request.parent), key=lambda memory: memory.occurred_at.seconds)
        if request.order != read_pb2.TIMELINE_ORDER_OLDEST_FIRST:
            ordered.reverse()
        start = int(request.page_token or 0)
        end = start + request.page_size
        token = str(end) if end < len(ordered) else ""
        return read_pb2.ListMemoriesResponse(memories=ordered[start:end], next_page_token=token)

    async def GetAnalysisState(
        self, request: read_pb2.GetAnalysisStateRequest, context: Context
    ) -> read_pb2.GetAnalysisStateResponse:
        await self._enter(context)
        return read_pb2.GetAnalysisStateResponse(due=2, oldest_due_time=Timestamp(seconds=60), dead=1)

    async def SearchMemories(
        self, request: query_pb2.SearchMemoriesRequest, context: Context
    ) -> query_pb2.SearchMemoriesResponse:
        await self._enter(context)
        words = request.query.lower().strip("?").split()
        hits = [
            query_pb2.SearchHit(
                memory=memory,
                score=1.0,
                explanation=query_pb2.Explanation(lexical_rank=1, words_score=1.0)
                if request.explain
                else None,
            )
            for memory in self._of(request.parent)
            if any(word in memory.text.lower() for word in words)
        ]
        return query_pb2.SearchMemoriesResponse(hits=hits[: request.page_size])

    async def ListOnThisDay(
        self, request: query_pb2.ListOnThisDayRequest, context: Context
    ) -> query_pb2.ListOnThisDayResponse:
        await self._enter(context)
        return query_pb2.ListOnThisDayResponse(memories=self._of(request.parent))

    async def GetQueueStats(
        self, request: admin_pb2.GetQueueStatsRequest, context: Context
    ) -> admin_pb2.GetQueueStatsResponse:
        await self._enter(context)
        stage = admin_pb2.StageStats(stage="embed", model=1, ready=2, dead=1)
        stage.oldest_due_age.seconds = 3
        return admin_pb2.GetQueueStatsResponse(stages=[stage], due=2, dead=1)

    async def ListDeadLetters(
        self, request: admin_pb2.ListDeadLettersRequest, context: Context
    ) -> admin_pb2.ListDeadLettersResponse:
        await self._enter(context)
        return admin_pb2.ListDeadLettersResponse(dead_letters=[admin_pb2.DeadLetter(name="a", attempts=5)])

    async def ReplayDeadLetters(
        self, request: admin_pb2.ReplayDeadLettersRequest, context: Context
    ) -> admin_pb2.ReplayDeadLettersResponse:
        await self._enter(context)
        return admin_pb2.ReplayDeadLettersResponse(replayed=3 if request.all else len(request.names))

    async def DropSegments(
        self, request: admin_pb2.DropSegmentsRequest, context: Context
    ) -> admin_pb2.DropSegmentsResponse:
        await self._enter(context)
        return admin_pb2.DropSegmentsResponse(dropped=1, bytes=600)

    async def Echo(self, request: echo_pb2.EchoRequest, context: Context) -> echo_pb2.EchoResponse:
        await self._enter(context)
        return echo_pb2.EchoResponse(payload=bytes(request.response_size))

    async def _enter(self, context: Context, before: bool = True) -> None:
        if before:
            self.metadata.append({key: str(value) for key, value in context.invocation_metadata() or ()})
        if self.failures and before != self.fail_after_the_work:
            await self._refuse(context, self.failures.pop(0))

    async def _refuse(self, context: Context, error: service_errors.ReverieError) -> None:
        await context.abort_with_status(service_errors.to_status(error))

    def _of(self, parent: str) -> list[memory_pb2.Memory]:
        return [memory for name, memory in self.memories.items() if name.startswith(f"{parent}/")]

    def _create(self, parent: str, request: ingest_pb2.CreateMemoryRequest) -> memory_pb2.Memory:
        name = f"{parent}/memories/{request.memory_id}"
        if name not in self.memories:
            memory = memory_pb2.Memory(name=name)
            memory.MergeFrom(request.memory)
            self._stamp(memory)
            self.memories[name] = memory
        return self.memories[name]

    def _create_item(self, parent: str, request: ingest_pb2.CreateMemoryRequest) -> ingest_pb2.CreateResult:
        if not request.memory.text:
            return ingest_pb2.CreateResult(
                error=memory_pb2.ItemError(
                    code=grpc.StatusCode.INVALID_ARGUMENT.value[0],
                    reason="INVALID_ARGUMENT",
                    message="broken",
                    field_violations=[memory_pb2.FieldViolation(field="memory.text", description="is empty")],
                )
            )
        if self.item_failures.get(request.memory.text):
            error = self.item_failures[request.memory.text].pop(0)
            return ingest_pb2.CreateResult(
                error=memory_pb2.ItemError(
                    code=error.code.value[0], reason=error.reason, message=error.message
                )
            )
        memory = self._create(parent, request)
        return ingest_pb2.CreateResult(
            memory=ingest_pb2.CreatedMemory(name=memory.name, revision=memory.revision, etag=memory.etag)
        )

    def _stamp(self, memory: memory_pb2.Memory) -> None:
        self.revision += 1
        memory.revision, memory.etag = self.revision, f"etag-{self.revision}"


@dataclass(frozen=True)
class Served:
    """A small Reverie and where it listens."""

    reverie: SmallReverie
    address: str


async def serve(reverie: SmallReverie, address: str) -> grpc.aio.Server:
    """Starts to listen, without TLS."""
    server = grpc.aio.server()
    adders: tuple[Callable[[SmallReverie, grpc.aio.Server], None], ...] = (
        ingest_pb2_grpc.add_IngestServiceServicer_to_server,
        read_pb2_grpc.add_StorageReadServiceServicer_to_server,
        query_pb2_grpc.add_QueryServiceServicer_to_server,
        admin_pb2_grpc.add_StorageAdminServiceServicer_to_server,
        echo_pb2_grpc.add_EchoServiceServicer_to_server,
    )
    for add in adders:
        add(reverie, server)
    server.add_insecure_port(address)
    await server.start()
    return server
