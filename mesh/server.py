"""The control plane's gRPC services: delta ADS for proxies, MeshService for people."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from mesh import wire
from mesh.cache import Cache, Session
from mesh.request import DeltaRequest
from mesh.subscription import Request, Sync
from reverie.mesh.v1 import mesh_pb2, mesh_pb2_grpc
from services.runtime.clock import MonotonicClock, monotonic

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"

_STATES = {
    Sync.NOT_SENT: mesh_pb2.SYNC_STATE_NOT_SENT,
    Sync.PENDING: mesh_pb2.SYNC_STATE_PENDING,
    Sync.REJECTED: mesh_pb2.SYNC_STATE_REJECTED,
    Sync.SYNCED: mesh_pb2.SYNC_STATE_SYNCED,
}
_log = structlog.get_logger("mesh")

Context = grpc.aio.ServicerContext[Any, Any]


class DeltaAds:
    """Incremental aggregated discovery: one stream for each proxy, all types in it."""

    def __init__(self, cache: Cache, clock: MonotonicClock = monotonic) -> None:
        self._cache = cache
        self._clock = clock

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server is to be given. Responses are bytes already."""
        deltas: grpc.RpcMethodHandler[DeltaRequest, bytes] = grpc.stream_stream_rpc_method_handler(
            self._deltas, request_deserializer=DeltaRequest.parse, response_serializer=None
        )
        return grpc.method_handlers_generic_handler(ADS, {"DeltaAggregatedResources": deltas})

    async def _deltas(self, requests: AsyncIterator[DeltaRequest], context: Context) -> None:
        first = await anext(requests, None)
        if first is None:
            return
        if first.node is None or not first.node.id:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first request must name its node")
        session = self._cache.open(first.node.id)
        _log.info("connected", node=session.node_id, known=session.snapshot is not None)
        self._take(session, first)
        listening = asyncio.ensure_future(self._listen(session, requests))
        try:
            await self._speak(session, context, listening)
        finally:
            listening.cancel()
            self._cache.close(session)
            _log.info("disconnected", node=session.node_id)

    async def _speak(self, session: Session, context: Context, listening: asyncio.Future[None]) -> None:
        """Say what there is to say until the proxy says no more."""
        conversation = session.conversation
        while not listening.done():
            for kind, said in conversation.advance(self._clock()):
                await context.write(wire.response(kind, said.resources, said.removed, said.nonce))
            wake_at = conversation.wake_at()
            await session.woken(None if wake_at is None else max(wake_at - self._clock(), 0.0))
        listening.result()

    async def _listen(self, session: Session, requests: AsyncIterator[DeltaRequest]) -> None:
        try:
            async for request in requests:
                self._take(session, request)
        finally:
            session.wake()

    def _take(self, session: Session, request: DeltaRequest) -> None:
        """Take a request in. Types that are not served stay unanswered."""
        kind = request.type_url
        if kind not in wire.TYPES:
            _log.warning("unknown type", node=session.node_id, type=kind)
            return
        if request.error_detail is not None:
            _log.warning("refused", node=session.node_id, type=kind, error=request.error_detail.message)
        self._cache.hear(session, kind, _request(request))


def _request(request: DeltaRequest) -> Request:
    error = request.error_detail
    return Request(
        subscribe=tuple(request.resource_names_subscribe),
        unsubscribe=tuple(request.resource_names_unsubscribe),
        has=request.initial_resource_versions,
        nonce=request.response_nonce,
        error=None if error is None else error.message or "refused without a reason",
    )


class MeshService(mesh_pb2_grpc.MeshServiceServicer):
    """reverie.mesh.v1.MeshService over the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def ListProxies(  # noqa: N802
        self, _request: mesh_pb2.ListProxiesRequest, _context: Context
    ) -> mesh_pb2.ListProxiesResponse:
        """Lists every proxy that is or was connected."""
        return mesh_pb2.ListProxiesResponse(proxies=[_proxy(session) for session in self._cache.sessions()])


def _proxy(session: Session) -> mesh_pb2.Proxy:
    connect_time = Timestamp()
    connect_time.FromDatetime(session.connect_time)
    return mesh_pb2.Proxy(
        node_id=session.node_id,
        connected=session.connected,
        connect_time=connect_time,
        types=[_type_status(session, kind) for kind in wire.TYPES],
    )


def _type_status(session: Session, kind: str) -> mesh_pb2.TypeStatus:
    wanted = (session.snapshot or {}).get(kind, {})
    refused = session.conversation.subscriptions[kind].refused
    errors = [
        f"{name}: {refused[name].reason}"
        for name, resource in wanted.items()
        if name in refused and refused[name].version == resource.version
    ]
    return mesh_pb2.TypeStatus(
        type_url=kind,
        state=_STATES[session.conversation.sync(kind)],
        wanted=[mesh_pb2.ResourceVersion(name=name, version=wanted[name].version) for name in sorted(wanted)],
        error="; ".join(errors),
    )
