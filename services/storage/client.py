"""How other services call storage: each client is one of its APIs, with errors by reason.

And where they hear of new work: the stream of hints in Valkey.
"""

from collections.abc import Awaitable
from typing import Any, TypeVar
from uuid import UUID

import grpc

from reverie.storage.v1 import (
    analysis_pb2,
    analysis_pb2_grpc,
    read_pb2,
    read_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    write_pb2,
    write_pb2_grpc,
)
from services.runtime.client import forwarded
from services.runtime.errors import from_rpc_error
from services.runtime.tokens import METADATA_KEY

Response = TypeVar("Response")

OWNER_KEY = "reverie-owner"
"""The request header by which the mesh sends an owner's searches to the same instance."""


HINT_STREAM = "{hints:embed}"
"""The stream of hints. Its braces keep all keys about it in one slot of a cluster."""

HINT_FIELD = "keys"
"""The field of an entry: owner and id of each memory, 32 bytes a memory, one after the other."""


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


class StorageSearchClient:
    """`StorageSearchService`, in the name of the caller whose call is under way.

    Answers come with the consistency token that storage sent, empty if none.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = search_pb2_grpc.StorageSearchServiceStub(channel)  # type: ignore[no-untyped-call]

    async def search(
        self, request: search_pb2.SearchRequest, owner: UUID, seconds: float
    ) -> tuple[search_pb2.SearchResponse, str]:
        """Searches. Raises TokenInvalid, UserForbidden, StalePrimary, or what kept the call from arriving.

        The owner's searches go to the same instance, where what they need is in memory, while it is there.
        """
        metadata = (*forwarded(), (OWNER_KEY, owner.hex))
        return await _answer_and_token(self._stub.Search(request, timeout=seconds, metadata=metadata))

    async def list_on_days(
        self, request: search_pb2.ListOnDaysRequest, seconds: float
    ) -> tuple[search_pb2.ListOnDaysResponse, str]:
        """Lists days of the year. Raises as `search` does."""
        return await _answer_and_token(self._stub.ListOnDays(request, timeout=seconds, metadata=forwarded()))


class StorageAnalysisClient:
    """`StorageAnalysisService`, in the service's own name."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = analysis_pb2_grpc.StorageAnalysisServiceStub(channel)  # type: ignore[no-untyped-call]

    async def claim_due(
        self, request: analysis_pb2.ClaimDueRequest, seconds: float
    ) -> analysis_pb2.ClaimDueResponse:
        """Claims due analyses. Raises StoreDown, or what kept the call from arriving."""
        return await _answer(self._stub.ClaimDue(request, timeout=seconds))

    async def attach_results(
        self, request: analysis_pb2.AttachResultsRequest, seconds: float
    ) -> analysis_pb2.AttachResultsResponse:
        """Attaches results. Raises InvalidArgument for what storage cannot take, else as `claim_due` does."""
        return await _answer(self._stub.AttachResults(request, timeout=seconds))

    async def report_failures(
        self, request: analysis_pb2.ReportFailuresRequest, seconds: float
    ) -> analysis_pb2.ReportFailuresResponse:
        """Reports failures. Raises as `attach_results` does."""
        return await _answer(self._stub.ReportFailures(request, timeout=seconds))


async def _answer_and_token(call: "grpc.aio.UnaryUnaryCall[Any, Response]") -> tuple[Response, str]:
    answer = await _answer(call)
    for key, value in await call.trailing_metadata() or ():
        if key == METADATA_KEY:
            return answer, str(value)
    return answer, ""


async def _answer(call: Awaitable[Response]) -> Response:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
