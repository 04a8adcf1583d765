"""Storage's services over a real database, called as the server calls them."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import grpc

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import admin_pb2, analysis_pb2, read_pb2, write_pb2
from services.runtime import names, principal
from services.runtime.principal import Call, Principal
from services.runtime.tokens import METADATA_KEY, Keyring, Tokens
from services.storage.admin import AdminService
from services.storage.analysis import AnalysisService, Patience
from services.storage.database import Database
from services.storage.read import ReadService
from services.storage.write import WriteService

TENANT = UUID("6f3a1c52-0f4e-4d0a-9a3e-5f7b8c9d0e1f")
STAGE, MODEL, DIMENSIONS = "embed", 1, 384
FIRST_MS = 1_700_000_000_000

_numbers = count(1)


@dataclass
class Context:
    """What a handler sees of a call."""

    seconds: float | None = 10.0
    trailing: dict[str, str] = field(default_factory=dict)

    def time_remaining(self) -> float | None:
        return self.seconds

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return ()

    def set_trailing_metadata(self, metadata: Iterable[tuple[str, str]]) -> None:
        self.trailing.update(metadata)

    @property
    def token(self) -> str:
        return self.trailing[METADATA_KEY]


class Hints:
    """Remembers hints."""

    def __init__(self) -> None:
        self.keys: list[tuple[UUID, UUID]] = []

    def wrote(self, keys: Sequence[tuple[UUID, UUID]]) -> None:
        self.keys += keys


class Segments:
    """Remembers what was dropped."""

    def __init__(self) -> None:
        self.dropped: list[UUID | None] = []

    def drop(self, owner: UUID | None) -> tuple[int, int]:
        self.dropped.append(owner)
        return 2, 300


class Storage:
    """The services of one storage process, and short ways to call them."""

    def __init__(self, database: Database, patience: Patience | None = None) -> None:
        self.database = database
        self.hints = Hints()
        self.segments = Segments()
        self.tokens = Tokens(Keyring({"1": b"k" * 32}))
        self.writes = WriteService(database.write, database.bulk, self.hints)
        self.reads = ReadService(database.read, self.tokens)
        self.analysis = AnalysisService(database.analysis, patience or Patience(), random.Random(7))
        self.admin = AdminService(database.admin, self.tokens, self.hints, self.segments)

    async def write(self, *operations: "Operation", seconds: float = 10.0) -> write_pb2.WriteBatchResponse:
        """Commits operations of any users as one batch."""
        return await self.writes.WriteBatch(batch(*operations), context(Context(seconds)))

    async def write_brief(self, *creates: "Operation") -> write_pb2.WriteBatchResponse:
        """Commits creates column by column, and asks for no results where all are written."""
        request = columns(*creates, without_memories=True, brief=True)
        return await self.writes.WriteBatch(request, context(Context()))

    async def written(self, *operations: "Operation") -> list[int]:
        """The same; the revisions, where everything was written."""
        response = await self.write(*operations)
        assert [result.status for result in response.results] == [WRITTEN] * len(operations)
        return [result.revision for result in response.results]

    async def get(self, user: str, id_: UUID, token: str | None = None, **more: Any) -> memory_pb2.Memory:
        """Gets a memory as that user."""
        enter(user, token)
        request = read_pb2.GetMemoryRequest(name=names.memory_name(user, id_), **more)
        return (await self.reads.GetMemory(request, context(Context()))).memory

    async def timeline(
        self, user: str, token: str | None = None, **more: Any
    ) -> read_pb2.ListMemoriesResponse:
        """Lists a page as that user."""
        enter(user, token)
        request = read_pb2.ListMemoriesRequest(parent=names.user_name(user), **more)
        return await self.reads.ListMemories(request, context(Context()))

    async def claim(
        self, limit: int = 256, hints: Sequence[tuple[UUID, UUID]] = (), **more: Any
    ) -> Sequence[analysis_pb2.DueAnalysis]:
        """Claims what is due."""
        keys = [analysis_pb2.MemoryKey(owner=owner.bytes, id=id_.bytes) for owner, id_ in hints]
        request = analysis_pb2.ClaimDueRequest(stage=STAGE, model=MODEL, limit=limit, hints=keys, **more)
        return (await self.analysis.ClaimDue(request, context(Context()))).analyses

    async def attach(self, *due: analysis_pb2.DueAnalysis, vector: bytes = b"") -> int:
        """Attaches a vector to claimed analyses."""
        results = [
            analysis_pb2.StageResult(
                owner=one.key.owner,
                id=one.key.id,
                memory_revision=one.memory_revision,
                vector=vector or VECTOR,
            )
            for one in due
        ]
        request = analysis_pb2.AttachResultsRequest(stage=STAGE, model=MODEL, results=results)
        return (await self.analysis.AttachResults(request, context(Context()))).attached

    async def fail(self, *due: analysis_pb2.DueAnalysis, error: str = "it broke") -> int:
        """Reports claimed analyses as failed; how many are dead now."""
        failures = [
            analysis_pb2.AnalysisFailure(key=one.key, memory_revision=one.memory_revision, error=error)
            for one in due
        ]
        request = analysis_pb2.ReportFailuresRequest(stage=STAGE, model=MODEL, failures=failures)
        return (await self.analysis.ReportFailures(request, context(Context()))).dead

    async def dead_letters(self, **more: Any) -> admin_pb2.ListDeadLettersResponse:
        """Lists dead letters."""
        return await self.admin.ListDeadLetters(admin_pb2.ListDeadLettersRequest(**more), context(Context()))

    async def replay(self, **more: Any) -> int:
        """Replays dead letters; how many."""
        request = admin_pb2.ReplayDeadLettersRequest(**more)
        return (await self.admin.ReplayDeadLetters(request, context(Context()))).replayed

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Runs a statement with the rights of the admin role."""
        return await self.database.admin.fetch(statement, *arguments)


@dataclass(frozen=True)
class Operation:
    """A change of one user's memory."""

    user: str
    id: UUID
    change: dict[str, Any]


VECTOR = b"\0\0\x80?" + bytes(4 * (DIMENSIONS - 1))
"""A vector of length 1."""

WRITTEN = write_pb2.WRITE_STATUS_WRITTEN


def new_id() -> UUID:
    """A UUID of version 7, one millisecond after the one before."""
    number = next(_numbers)
    return UUID(int=((FIRST_MS + number) << 80) | (7 << 76) | (2 << 62) | number)


def memory(text: str = "I adopted a cat.", at: int = 0, **fields: Any) -> memory_pb2.Memory:
    """A memory that happened `at` seconds after some instant."""
    fields.setdefault("occurred_at", {"seconds": 1_700_000_000 + at})
    fields.setdefault("occurred_precision", memory_pb2.OCCURRED_PRECISION_INSTANT)
    return memory_pb2.Memory(text=text, **fields)


def content(of: memory_pb2.Memory) -> dict[str, Any]:
    return {"memory": of, "terms": b"\1\0\0\0", "traits": 0, "analyzer": 1}


def create(user: str, of: memory_pb2.Memory | None = None, id_: UUID | None = None) -> Operation:
    """The fingerprint stands for the content, as ingest makes it."""
    of = of or memory()
    fingerprint = of.SerializeToString(deterministic=True)[:24].ljust(32, b"\0")
    return Operation(user, id_ or new_id(), {"create": {"content": content(of), "fingerprint": fingerprint}})


def update(user: str, id_: UUID, revision: int, of: memory_pb2.Memory) -> Operation:
    return Operation(user, id_, {"update": {"content": content(of), "from_revision": revision}})


def delete(user: str, id_: UUID, revision: int = 0) -> Operation:
    return Operation(user, id_, {"delete": {"from_revision": revision}})


def batch(*operations: Operation) -> write_pb2.WriteBatchRequest:
    users = list(dict.fromkeys(operation.user for operation in operations))
    return write_pb2.WriteBatchRequest(
        owners=[{"owner": owner_of(user).bytes, "tenant": TENANT.bytes, "user": user} for user in users],
        operations=[
            {"owner_index": users.index(one.user), "id": one.id.bytes, **one.change} for one in operations
        ],
    )


def columns(*creates: Operation, **more: Any) -> write_pb2.WriteBatchRequest:
    """The same creates column by column; of their memories the text and when it happened."""
    rows = batch(*creates)
    contents = [each.create.content for each in rows.operations]
    told = write_pb2.CreateColumns(
        ids=b"".join(each.id for each in rows.operations),
        owner_indices=[each.owner_index for each in rows.operations],
        occurred_at=[each.memory.occurred_at.ToMicroseconds() for each in contents],
        occurred_precisions=[each.memory.occurred_precision for each in contents],
        kinds=[each.memory.kind for each in contents],
        traits=[each.traits for each in contents],
        analyzer=1,
        fingerprints=b"".join(each.create.fingerprint for each in rows.operations),
        terms=[each.terms for each in contents],
        texts=[each.memory.text for each in contents],
    )
    return write_pb2.WriteBatchRequest(owners=rows.owners, creates=told, **more)


def owner_of(user: str) -> UUID:
    return names.owner_of(TENANT, user)


def enter(user: str | None, token: str | None = None, *, scopes: Iterable[str] = ()) -> None:
    """Makes a user the caller of what follows."""
    caller = Principal(TENANT, user, frozenset(scopes), datetime.now(UTC) + timedelta(hours=1))
    principal.enter(Call(caller, "Bearer test", token))


def context(of: Context) -> "grpc.aio.ServicerContext[Any, Any]":
    """What stands for gRPC's own."""
    return of  # type: ignore[return-value]
