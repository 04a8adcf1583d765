"""A request of each public call, about one user and memory."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask

from reverie.ingest.v1 import ingest_pb2
from reverie.memory.v1 import memory_pb2
from reverie.query.v1 import query_pb2
from reverie.storage.v1 import read_pb2
from reverie_client import methods
from reverie_client.methods import Method
from reverie_client.times import to_timestamp
from services.runtime import names

SOME_ETAG = names.etag(1)
THEN = datetime(2024, 5, 17, 9, 30, tzinfo=UTC)
Call = tuple[Method[Any, Any], Any]


def memory(text: str = "The ferry was late.", **fields: Any) -> memory_pb2.Memory:
    """What a client hands over."""
    return memory_pb2.Memory(text=text, occurred_at=to_timestamp(THEN), **fields)


def create(user: str, id_: UUID | None = None, text: str = "The ferry was late.") -> Call:
    """Without an id, ingest makes one."""
    request = ingest_pb2.CreateMemoryRequest(
        parent=f"users/{user}", memory_id=str(id_ or ""), memory=memory(text)
    )
    return methods.CREATE, request


def about(user: str, id_: UUID, etag: str) -> dict[str, Call]:
    """Every call that names one memory, in its state `etag`."""
    name = f"users/{user}/memories/{id_}"
    change = ingest_pb2.UpdateMemoryRequest(
        memory=memory_pb2.Memory(name=name, etag=etag, text="The ferry was early."),
        update_mask=FieldMask(paths=["text"]),
    )
    return {
        "get": (methods.GET, read_pb2.GetMemoryRequest(name=name)),
        "update": (methods.UPDATE, change),
        "delete": (methods.DELETE, ingest_pb2.DeleteMemoryRequest(name=name)),
        "delete in a state": (methods.DELETE, ingest_pb2.DeleteMemoryRequest(name=name, etag=etag)),
    }


def public_calls(user: str, id_: UUID, etag: str = SOME_ETAG) -> dict[str, Call]:
    """Every public call."""
    parent, name = f"users/{user}", f"users/{user}/memories/{id_}"
    item = ingest_pb2.CreateMemoryRequest(memory_id=str(id_), memory=memory())
    return {
        **about(user, id_, etag),
        "create": create(user, id_),
        "batch create": (
            methods.BATCH_CREATE,
            ingest_pb2.BatchCreateMemoriesRequest(parent=parent, requests=[item]),
        ),
        "batch get": (methods.BATCH_GET, read_pb2.BatchGetMemoriesRequest(parent=parent, names=[name])),
        "list": (methods.LIST, read_pb2.ListMemoriesRequest(parent=parent)),
        "analysis": (methods.ANALYSIS_STATE, read_pb2.GetAnalysisStateRequest(parent=parent)),
        "search": (methods.SEARCH, query_pb2.SearchMemoriesRequest(parent=parent, query="ferry")),
        "on this day": (methods.ON_THIS_DAY, query_pb2.ListOnThisDayRequest(parent=parent)),
    }
