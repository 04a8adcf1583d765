"""What a write costs: alone over its floor, many at a time over an echo, in batches over a raw COPY."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from ops.bench import corpus
from ops.bench.measure import Latency, at_once, interleaved
from ops.bench.record import Record
from ops.bench.registry import Options
from ops.bench.stage import Stage, say, stage
from reverie.ingest.v1 import ingest_pb2
from reverie.storage.v1 import write_pb2
from reverie_client import Ids, NewMemory
from reverie_client.content import to_message
from services.ingest.content import fill
from services.ingest.fingerprint import fingerprint
from services.runtime import names
from services.storage import queries
from services.storage.batch import Batch, Operation
from services.storage.database import Database

_ALONE = 400
_AT_ONCE = {16: 1600, 64: 4800}
_LOAD_ROUNDS = 3
_BATCH = 1000
_BATCH_CALLERS = 2
_BULK_ROWS = 10_000
_BULK_ROUNDS = 3
_ANALYSE = "analyse-a-0"

_MEMORY_COLUMNS = (
    "owner", "id", "revision", "occurred_at", "occurred_offset", "occurred_precision", "local_day", "kind",
    "traits", "analyzer", "fingerprint", "terms", "text", "conversation", "speaker", "position",
)  # fmt: skip
_DUE_COLUMNS = ("owner", "id", "stage", "model", "memory_revision")


async def run(options: Options) -> Record:
    """Measures with the workers stopped: their model would take a core."""
    async with stage(options) as place, _analyse_stopped(place), Database.opened(place.database) as database:
        bench = _Ingest(place, database)
        say("one at a time, in turn with its floor")
        alone = await bench.alone()
        say("many at a time, in turn with echoes")
        loads = {number: await bench.many(number, calls) for number, calls in _AT_ONCE.items()}
        say("batches, in turn with a raw COPY")
        bulk = await bench.bulk()
    return Record("ingest", _results(alone, loads, bulk), _ratios(alone, loads, bulk))


class _Ingest:
    def __init__(self, place: Stage, database: Database) -> None:
        self._reverie, self._operator, self._database = place.reverie, place.operator, database
        self._tenant = place.platform.endpoint.tenant
        self._new = corpus.memories(Ids())
        self._sent, self._answered = _sizes(next(self._new))

    async def alone(self) -> dict[str, Any]:
        """One create, one echo by way of storage, one raw write, in turn."""
        user = self._reverie.user("bench-alone")

        async def create() -> None:
            await _create(user, next(self._new))

        async with self._database.write.acquired() as connection:
            statement = await connection.prepare(queries.text("write_batch"))

            async def raw() -> None:
                await statement.fetch(*next(writes))

            writes = self._raw_writes("bench-raw")
            return await interleaved({"create": create, "echo": self._echo, "sql": raw}, _ALONE)

    async def many(self, concurrency: int, calls: int) -> dict[str, Latency]:
        """Creates, then echoes, so many at a time: the middle one of some rounds of each."""
        user = self._reverie.user("bench-many")

        async def create() -> None:
            await _create(user, next(self._new))

        rounds: dict[str, list[Latency]] = {"create": [], "echo": []}
        for _ in range(_LOAD_ROUNDS):
            rounds["create"].append(await at_once(create, concurrency, calls // _LOAD_ROUNDS))
            rounds["echo"].append(await at_once(self._echo, concurrency, calls // _LOAD_ROUNDS))
        return {name: sorted(loads, key=lambda load: load.p50)[1] for name, loads in rounds.items()}

    async def bulk(self) -> dict[str, float]:
        """Rows a second of batches and of COPY, each the middle one of some rounds."""
        copied, batched = [], []
        for turn in range(_BULK_ROUNDS):
            copied.append(await self._copy(f"bench-copy-{turn}"))
            batched.append(await self._batches(f"bench-batch-{turn}"))
        middle = _BULK_ROUNDS // 2
        return {"copy": sorted(copied)[middle], "batch": sorted(batched)[middle]}

    async def _echo(self) -> None:
        await self._operator.echo(b"." * self._sent, response_size=self._answered, forward=True)

    async def _batches(self, name: str) -> float:
        user = self._reverie.user(name)
        rows = list(islice(self._new, _BULK_ROWS))
        chunks = [rows[at : at + _BATCH] for at in range(0, _BULK_ROWS, _BATCH)]
        waiting = iter(chunks)

        async def caller() -> None:
            for chunk in waiting:
                outcomes = await user.create_batch(chunk, within=timedelta(minutes=1))
                if failed := next((outcome.error for outcome in outcomes if outcome.error), None):
                    raise failed

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(_BATCH_CALLERS)))
        return _BULK_ROWS / (time.perf_counter() - began)

    async def _copy(self, name: str) -> float:
        owner = names.owner_of(self._tenant, name)
        memories, due = _copy_rows(owner, islice(self._raw_operations(name), _BULK_ROWS))
        async with self._database.write.acquired() as connection:
            began = time.perf_counter()
            async with connection.transaction():
                await connection.copy_records_to_table("memories", records=memories, columns=_MEMORY_COLUMNS)
                await connection.copy_records_to_table("analysis_due", records=due, columns=_DUE_COLUMNS)
            return _BULK_ROWS / (time.perf_counter() - began)

    def _raw_writes(self, user: str) -> Iterator[list[Any]]:
        """The arguments of the write function for one create after the other."""
        return (Batch(((0, operation),)).arguments() for operation in self._raw_operations(user))

    def _raw_operations(self, user: str) -> Iterator[Operation]:
        owner = names.owner_of(self._tenant, user)
        for new in self._new:
            request = write_pb2.WriteBatchRequest(
                owners=[write_pb2.BatchOwner(owner=owner.bytes, tenant=self._tenant.bytes, user=user)]
            )
            operation = request.operations.add(id=_id(new).bytes)
            message = to_message(new)
            fill(operation.create.content, message)
            operation.create.fingerprint = fingerprint(operation.create.content.memory)
            yield Batch.of(request).operations[0][1]


@asynccontextmanager
async def _analyse_stopped(place: Stage) -> AsyncIterator[None]:
    await place.platform.stop_process(_ANALYSE)
    try:
        yield
    finally:
        await place.platform.start_process(_ANALYSE)


async def _create(user: Any, new: NewMemory) -> None:
    await user.create(new.text, id=new.id, occurred_at=new.occurred_at, kind=new.kind, source=new.source)


def _id(new: NewMemory) -> UUID:
    if new.id is None:
        raise ValueError("the corpus mints every id")
    return new.id


def _sizes(new: NewMemory) -> tuple[int, int]:
    """How many bytes a create sends and is answered with, about."""
    message = to_message(new)
    parent, name = names.user_name("bench-alone"), names.memory_name("bench-alone", _id(new))
    sent = ingest_pb2.CreateMemoryRequest(parent=parent, memory_id=str(new.id), memory=message)
    answer = ingest_pb2.CreateMemoryResponse(memory=message)
    answer.memory.name, answer.memory.revision, answer.memory.etag = name, 2**41, str(2**41)
    answer.memory.create_time.CopyFrom(Timestamp(seconds=2**31, nanos=999_999_000))
    return sent.ByteSize(), answer.ByteSize()


def _copy_rows(
    owner: UUID, operations: Iterator[Operation]
) -> tuple[Sequence[tuple[Any, ...]], Sequence[tuple[Any, ...]]]:
    revision = 2**40
    memories = [
        (owner, op.id, revision, op.occurred_at, op.occurred_offset, op.occurred_precision, op.local_day,
         op.kind, op.traits, op.analyzer, op.fingerprint, op.terms, op.text, op.conversation, op.speaker,
         op.position)
        for op in operations
    ]  # fmt: skip
    return memories, [(owner, row[1], 1, 1, revision) for row in memories]


def _results(
    alone: dict[str, Any], loads: dict[int, dict[str, Latency]], bulk: dict[str, float]
) -> dict[str, Any]:
    return {
        "analyse": "stopped",
        "alone": {name: asdict(latency) for name, latency in alone.items()},
        **{f"at_once_{number}": {n: asdict(v) for n, v in load.items()} for number, load in loads.items()},
        "rows_per_second": {name: round(rate) for name, rate in bulk.items()},
        "copy": [
            f"COPY memories ({', '.join(_MEMORY_COLUMNS)}) FROM STDIN (FORMAT binary)",
            f"COPY analysis_due ({', '.join(_DUE_COLUMNS)}) FROM STDIN (FORMAT binary)",
        ],
    }


def _ratios(
    alone: dict[str, Any], loads: dict[int, dict[str, Latency]], bulk: dict[str, float]
) -> dict[str, float]:
    floor = alone["echo"].p50 + alone["sql"].p50
    many = {f"accept{n}_vs_echo": load["create"].p50 / load["echo"].p50 for n, load in loads.items()}
    ratios = {
        "accept_vs_floor": alone["create"].p50 / floor,
        **many,
        "batch_vs_copy": bulk["batch"] / bulk["copy"],
    }
    return {name: round(value, 3) for name, value in ratios.items()}
