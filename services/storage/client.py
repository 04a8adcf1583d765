"""How other services call storage: each client is one of its APIs, with errors by reason."""

from collections.abc import Awaitable
from typing import TypeVar

import grpc

from reverie.storage.v1 import read_pb2, read_pb2_grpc, write_pb2, write_pb2_grpc
from services.runtime.client import forwarded
from services.runtime.errors import from_rpc_error

Response = TypeVar("Response")


class StorageWriteClient:
    """`StorageWriteService`, in the service's own name."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = write_pb2_grpc.StorageWriteServiceStub(channel)  # type: ignore[no-untyped-call]

    async def write_batch(
        self, request: write_pb2.WriteBatchRequest, seconds: float
    ) -> write_pb2.WriteBatchResponse:
        """Commits a batch. Raises UnknownOutcome, StoreDown, StoreFull, or what kept it from arriving."""
        return await _answer(self._stub.WriteBatch(request, timeout=seconds))


class StorageReadClient:
    """`StorageReadService`, in the name of the caller whose call is under way."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = read_pb2_grpc.StorageReadServiceStub(channel)  # type: ignore[no-untyped-call]

    async def get_memory(
        self, request: read_pb2.GetMemoryRequest, seconds: float
    ) -> read_pb2.GetMemoryResponse:
        """Gets a memory. Raises MemoryNotFound, UserForbidden, or what kept the call from arriving."""
        return await _answer(self._stub.GetMemory(request, timeout=seconds, metadata=forwarded()))


async def _answer(call: Awaitable[Response]) -> Response:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
