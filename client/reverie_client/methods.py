"""Every call that the client makes, and whether it may be made twice."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from google.protobuf.message import Message

from reverie.echo.v1 import echo_pb2
from reverie.ingest.v1 import ingest_pb2
from reverie.query.v1 import query_pb2
from reverie.storage.v1 import admin_pb2, read_pb2

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)

_USUAL = timedelta(seconds=10)
_LONG = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Answer]):
    """A call: unary, or a stream each way."""

    path: str
    request: type[Request]
    answer: type[Answer]
    repeatable: bool = True
    """Whether it has the same outcome when it is made twice. Creates have: their ids are chosen here."""
    writes: bool = False
    """Whether it changes memories."""
    timeout: timedelta = _USUAL
    """The deadline where the caller names none. Of a stream: how long it may get nowhere."""


CREATE = Method(
    "/reverie.ingest.v1.IngestService/CreateMemory",
    ingest_pb2.CreateMemoryRequest,
    ingest_pb2.CreateMemoryResponse,
    writes=True,
)
BATCH_CREATE = Method(
    "/reverie.ingest.v1.IngestService/BatchCreateMemories",
    ingest_pb2.BatchCreateMemoriesRequest,
    ingest_pb2.BatchCreateMemoriesResponse,
    writes=True,
    timeout=_LONG,
)
STREAM = Method(
    "/reverie.ingest.v1.IngestService/StreamMemories",
    ingest_pb2.StreamMemoriesRequest,
    ingest_pb2.StreamMemoriesResponse,
    timeout=_LONG,
)
UPDATE = Method(
    "/reverie.ingest.v1.IngestService/UpdateMemory",
    ingest_pb2.UpdateMemoryRequest,
    ingest_pb2.UpdateMemoryResponse,
    writes=True,
)
DELETE = Method(
    "/reverie.ingest.v1.IngestService/DeleteMemory",
    ingest_pb2.DeleteMemoryRequest,
    ingest_pb2.DeleteMemoryResponse,
    writes=True,
)
GET = Method(
    "/reverie.storage.v1.StorageReadService/GetMemory",
    read_pb2.GetMemoryRequest,
    read_pb2.GetMemoryResponse,
)
BATCH_GET = Method(
    "/reverie.storage.v1.StorageReadService/BatchGetMemories",
    read_pb2.BatchGetMemoriesRequest,
    read_pb2.BatchGetMemoriesResponse,
)
LIST = Method(
    "/reverie.storage.v1.StorageReadService/ListMemories",
    read_pb2.ListMemoriesRequest,
    read_pb2.ListMemoriesResponse,
)
ANALYSIS_STATE = Method(
    "/reverie.storage.v1.StorageReadService/GetAnalysisState",
    read_pb2.GetAnalysisStateRequest,
    read_pb2.GetAnalysisStateResponse,
)
SEARCH = Method(
    "/reverie.query.v1.QueryService/SearchMemories",
    query_pb2.SearchMemoriesRequest,
    query_pb2.SearchMemoriesResponse,
)
ON_THIS_DAY = Method(
    "/reverie.query.v1.QueryService/ListOnThisDay",
    query_pb2.ListOnThisDayRequest,
    query_pb2.ListOnThisDayResponse,
)
QUEUE_STATS = Method(
    "/reverie.storage.v1.StorageAdminService/GetQueueStats",
    admin_pb2.GetQueueStatsRequest,
    admin_pb2.GetQueueStatsResponse,
)
DEAD_LETTERS = Method(
    "/reverie.storage.v1.StorageAdminService/ListDeadLetters",
    admin_pb2.ListDeadLettersRequest,
    admin_pb2.ListDeadLettersResponse,
)
# Harmless when made twice, but the second time it counts nothing: the answer would be wrong.
REPLAY = Method(
    "/reverie.storage.v1.StorageAdminService/ReplayDeadLetters",
    admin_pb2.ReplayDeadLettersRequest,
    admin_pb2.ReplayDeadLettersResponse,
    repeatable=False,
    timeout=_LONG,
)
DROP_SEGMENTS = Method(
    "/reverie.storage.v1.StorageAdminService/DropSegments",
    admin_pb2.DropSegmentsRequest,
    admin_pb2.DropSegmentsResponse,
    repeatable=False,
)
ECHO = Method("/reverie.echo.v1.EchoService/Echo", echo_pb2.EchoRequest, echo_pb2.EchoResponse)
