"""What a read costs over its floor, and a search over the raw exact scan of the same vectors."""

from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from ops.bench import corpus
from ops.bench.measure import Latency, interleaved
from ops.bench.record import Record
from ops.bench.registry import CannotRunError, Options
from ops.bench.stage import Stage, say, stage, until_analysed
from reverie.storage.v1 import read_pb2
from reverie_client import Ids, User
from services.runtime import names
from services.runtime.embedder import Embedder, by_name
from services.storage import queries, timeline
from services.storage.database import Database

_SIZES = {"1k": 1_000, "20k": 20_000}
_PAGE = 50
_HITS = 20
_READS = 500
_SEARCHES = 150
_COLD_SEARCHES = 25
_ANALYSED_WITHIN = timedelta(minutes=30)

_SCAN = """
SELECT id FROM (SELECT id, emb FROM embeddings WHERE owner = $1 AND model = $2 OFFSET 0) z
ORDER BY emb <=> $3 LIMIT 200
"""


async def run(options: Options) -> Record:
    """Takes in owners of 1,000 and 20,000 memories, waits until they are analysed, measures."""
    async with stage(options) as place, Database.opened(place.database) as database:
        bench = _Read(place, database, by_name(options.embedder))
        for name, size in _SIZES.items():
            await bench.take_in(name, size)
        say("point reads and timeline pages, in turn with their floors")
        reads = await bench.reads("1k")
        say("searches, in turn with the raw scan")
        searches = {name: await bench.searches(name) for name in _SIZES}
        cold = await bench.cold_searches("20k")
    results = {name: _as_json(table) for name, table in {**reads, **searches, "cold_20k": cold}.items()}
    told = {"scan": " ".join(_SCAN.split()), **results}
    return Record("read", told, _ratios(reads, searches, cold), zones=place.zones)


Table = dict[str, Latency]


class _Read:
    def __init__(self, place: Stage, database: Database, embedder: Embedder) -> None:
        self._place, self._database, self._embedder = place, database, embedder
        self._tenant = place.platform.endpoint.tenant
        self._memories: dict[str, list[UUID]] = {}
        self._questions = corpus.questions()

    async def take_in(self, name: str, size: int) -> None:
        """An owner with so many memories, analysed."""
        say(f"taking in {size} memories and waiting for their analysis")
        user = self._user(name)
        ids = []
        async for outcome in user.create_all(islice(corpus.memories(Ids()), size)):
            if outcome.created is None:
                raise CannotRunError(f"a memory was refused: {outcome.error}")
            ids.append(outcome.created.id)
        self._memories[name] = ids
        await until_analysed([user], _ANALYSED_WITHIN)

    async def reads(self, name: str) -> dict[str, Table]:
        """Point reads and pages, each in turn with an echo from storage and the same SQL."""
        user, owner = self._user(name), self._owner(name)
        ids = self._memories[name]
        memory = await user.get(ids[0])
        page = await user.timeline(limit=_PAGE).page()
        request = read_pb2.ListMemoriesRequest(parent=names.user_name(_user_id(name)), page_size=_PAGE)
        arguments = timeline.arguments(request, owner, None, _PAGE + 1)
        async with self._database.read.acquired() as connection:
            get = await connection.prepare(queries.text("get_memory"))
            newest = await connection.prepare(queries.text("list_newest"))
            turns = iter(range(10**9))

            async def point() -> None:
                await user.get(ids[next(turns) % len(ids)])

            async def point_sql() -> None:
                await get.fetch(owner, ids[next(turns) % len(ids)])

            async def page_sql() -> None:
                await newest.fetch(*arguments)

            async def list_page() -> None:
                await user.timeline(limit=_PAGE).page()

            asked, answered = len(memory.name) + 2, memory.message.ByteSize() + 3
            page_size = sum(each.message.ByteSize() + 4 for each in page.items) + len(page.next_page_token)
            return {
                "point_read": await interleaved(
                    {"call": point, "echo": self._echo(asked, answered), "sql": point_sql}, _READS
                ),
                "timeline": await interleaved(
                    {"call": list_page, "echo": self._echo(request.ByteSize(), page_size), "sql": page_sql},
                    _READS,
                ),
            }

    async def searches(self, name: str) -> Table:
        """Searches with a warm segment, in turn with the embedding of the question and the raw scan."""
        await self._user(name).search("a first one, to fill the segment", limit=_HITS)
        return await self._in_turn(name, _SEARCHES, cold=False)

    async def cold_searches(self, name: str) -> Table:
        """The same, with the segment dropped before each search."""
        return await self._in_turn(name, _COLD_SEARCHES, cold=True)

    async def _in_turn(self, name: str, rounds: int, *, cold: bool) -> Table:
        """Asks, embeds and scans for the same question in each round."""
        user, owner = self._user(name), self._owner(name)
        question = next(self._questions)

        async def search() -> None:
            nonlocal question
            question = next(self._questions)
            await user.search(question, limit=_HITS).page()

        async def embed() -> bytes:
            return self._embedder.embed([question]).astype("<f4").tobytes()

        async with self._database.read.acquired() as connection:
            scan = await connection.prepare(_SCAN)
            vector = await embed()

            async def scan_raw() -> None:
                await scan.fetch(owner, self._embedder.number, vector)

            calls = {"search": search, "embed": embed, "scan": scan_raw}
            if cold:
                calls = {"drop": self._drop, **calls}
            table = await interleaved(calls, rounds, warm_up=5)
        table.pop("drop", None)
        return table

    async def _drop(self) -> None:
        # In each zone: the one segment is where the owner's searches go.
        dropped = [await operator.drop_segments() for operator in self._place.of_zones]
        if not any(zone.segments for zone in dropped):
            raise CannotRunError("no storage had anything of the owner in memory, so nothing became cold")

    def _echo(self, sent: int, answered: int) -> Any:
        payload = b"." * sent

        async def echo() -> None:
            await self._place.operator.echo(payload, response_size=answered, to="storage")

        return echo

    def _user(self, name: str) -> User:
        return self._place.reverie.user(_user_id(name))

    def _owner(self, name: str) -> UUID:
        return names.owner_of(self._tenant, _user_id(name))


def _user_id(name: str) -> str:
    return f"bench-{name}"


def _ratios(reads: dict[str, Table], searches: dict[str, Table], cold: Table) -> dict[str, float]:
    floors = {
        f"{name}_vs_floor": table["call"].p50 / (table["echo"].p50 + table["sql"].p50)
        for name, table in reads.items()
    }
    scans = {f"search_vs_scan_{name}": _search_over_scan(table) for name, table in searches.items()}
    ratios = {**floors, **scans, "cold_search_vs_scan_20k": _search_over_scan(cold)}
    return {name: round(value, 3) for name, value in ratios.items()}


def _search_over_scan(table: Table) -> float:
    return (table["search"].p50 - table["embed"].p50) / table["scan"].p50


def _as_json(table: Table) -> dict[str, Any]:
    return {name: asdict(latency) for name, latency in table.items()}
