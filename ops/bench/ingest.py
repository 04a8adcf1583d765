"""What a write costs: alone over its floor, many at a time over an echo, in batches over a raw COPY."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from ops.bench import corpus, raw
from ops.bench.bulk import Bulk, Rates
from ops.bench.measure import Latency, at_once, interleaved
from ops.bench.record import Record
from ops.bench.registry import Options
from ops.bench.stage import Stage, say, stage
from ops.local.plan import instance_id
from reverie.ingest.v1 import ingest_pb2
from reverie_client import Ids, NewMemory
from reverie_client.content import to_message
from services.runtime import names
from services.storage import queries
from services.storage.database import Database

_ALONE = 400
_AT_ONCE = {16: 1600, 64: 4800}
_LOAD_ROUNDS = 3


async def run(options: Options) -> Record:
    """Measures with the workers stopped: their model would take a core."""
    async with stage(options) as place, _analyse_stopped(place), Database.opened(place.database) as database:
        bench = _Ingest(place, database)
        say("one at a time, in turn with its floor")
        alone = await bench.alone()
        say("many at a time, in turn with echoes")
        loads = {number: await bench.many(number, calls) for number, calls in _AT_ONCE.items()}
        say("batches and a stream, in turn with a raw COPY")
        rates = await bench.bulk.rates()
        say("a create beside two imports")
        beside = await bench.beside()
    measured = _Measured(alone, loads, rates, beside)
    return Record("ingest", measured.results(), measured.ratios(), zones=place.zones)


class _Ingest:
    def __init__(self, place: Stage, database: Database) -> None:
        self._reverie, self._operator, self._database = place.reverie, place.operator, database
        self._tenant = place.platform.endpoint.tenant
        self._new = corpus.memories(Ids())
        self._sent, self._answered = _sizes(next(self._new))
        self.bulk = Bulk(place, database, self._new)

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

    async def beside(self) -> dict[str, Latency]:
        """A create of one user, alone and beside imports of others."""
        user = self._reverie.user("bench-beside")

        async def create() -> None:
            await _create(user, next(self._new))

        return await self.bulk.beside(create)

    async def _echo(self) -> None:
        await self._operator.echo(b"." * self._sent, response_size=self._answered, forward=True)

    def _raw_writes(self, user: str) -> Iterator[list[Any]]:
        """The arguments of the write function for one create after the other."""
        return (batch.arguments() for batch in raw.batches(self._new, self._tenant, user))


@asynccontextmanager
async def _analyse_stopped(place: Stage) -> AsyncIterator[None]:
    workers = [instance_id("analyse", zone) for zone in place.platform.zones]
    for worker in workers:
        await place.platform.stop_process(worker)
    try:
        yield
    finally:
        for worker in workers:
            await place.platform.start_process(worker)


async def _create(user: Any, new: NewMemory) -> None:
    await user.create(new.text, id=new.id, occurred_at=new.occurred_at, kind=new.kind, source=new.source)


def _sizes(new: NewMemory) -> tuple[int, int]:
    """How many bytes a create sends and is answered with, about."""
    message = to_message(new)
    parent, name = names.user_name("bench-alone"), names.memory_name("bench-alone", raw.id_of(new))
    sent = ingest_pb2.CreateMemoryRequest(parent=parent, memory_id=str(new.id), memory=message)
    answer = ingest_pb2.CreateMemoryResponse(memory=message)
    answer.memory.name, answer.memory.revision, answer.memory.etag = name, 2**41, str(2**41)
    answer.memory.create_time.CopyFrom(Timestamp(seconds=2**31, nanos=999_999_000))
    return sent.ByteSize(), answer.ByteSize()


@dataclass(frozen=True, slots=True)
class _Measured:
    alone: dict[str, Latency]
    loads: dict[int, dict[str, Latency]]
    rates: Rates
    beside: dict[str, Latency]

    def results(self) -> dict[str, Any]:
        loads = {f"at_once_{number}": _as_json(load) for number, load in self.loads.items()}
        return {
            "analyse": "stopped",
            "alone": _as_json(self.alone),
            **loads,
            "rows_per_second": {name: round(rate) for name, rate in self.rates.middle().items()},
            "beside_imports": _as_json(self.beside),
            "copy": raw.copy_statements(),
        }

    def ratios(self) -> dict[str, float]:
        floor = self.alone["echo"].p50 + self.alone["sql"].p50
        ratios = {
            "accept_vs_floor": self.alone["create"].p50 / floor,
            **{f"accept{n}_vs_echo": load["create"].p50 / load["echo"].p50 for n, load in self.loads.items()},
            "batch_vs_copy": self.rates.over_copy(self.rates.batch),
            "stream_vs_copy": self.rates.over_copy(self.rates.stream),
            "accept_beside_bulk": self.beside["busy"].p50 / self.beside["quiet"].p50,
        }
        return {name: round(value, 3) for name, value in ratios.items()}


def _as_json(table: dict[str, Latency]) -> dict[str, Any]:
    return {name: asdict(latency) for name, latency in table.items()}
