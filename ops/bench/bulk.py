"""What many memories cost: batches and a stream over a raw COPY, and beside imports a single create."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ops.bench import corpus, raw
from ops.bench.measure import Call, Latency, interleaved
from ops.bench.registry import CannotRunError
from ops.bench.stage import Stage
from reverie_client import NewMemory, Outcome, Reverie
from services.runtime import names
from services.storage.database import Database

_ROWS = 20_000
_ROUNDS = 7
_BATCH = 1000
_BATCH_CALLERS = 2
_FRAME = 100

_IMPORTS = 2
_IMPORT_ROWS = 200_000
_BESIDE = 300
_QUIET = 300
_BEGUN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Rows a second, one of each for a round."""

    copy: list[float] = field(default_factory=list)
    stream: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)

    def middle(self) -> dict[str, float]:
        """The middle one of each."""
        return {name: median(rates) for name, rates in asdict(self).items()}

    def over_copy(self, rates: Sequence[float]) -> float:
        """The middle one of the rounds' ratios: a round's COPY had the machine as the rest of it had."""
        return median(rate / copy for rate, copy in zip(rates, self.copy, strict=True))


class Bulk:
    """The bench's bulk figures, over one platform."""

    def __init__(self, place: Stage, database: Database, new: Iterator[NewMemory]) -> None:
        self._place, self._database, self._new = place, database, new
        self._reverie: Reverie = place.reverie
        self._tenant = place.platform.endpoint.tenant

    async def rates(self) -> Rates:
        """Of COPY, of a stream and of batches, in some rounds, in turn."""
        rates = Rates()
        for turn in range(_ROUNDS):
            rates.copy.append(await self._copy(f"bench-copy-{turn}"))
            rates.stream.append(await self._stream(f"bench-stream-{turn}"))
            rates.batch.append(await self._batches(f"bench-batch-{turn}"))
        return rates

    async def beside(self, create: Call) -> dict[str, Latency]:
        """A create in a platform that does nothing else, and while two files of other owners are imported."""
        quiet = await interleaved({"quiet": create}, _QUIET)
        with TemporaryDirectory(prefix="reverie-bench-") as folder:
            file = Path(folder) / "memories.jsonl"
            write_file(file, _IMPORT_ROWS)
            async with self._imports(file) as running:
                busy = await interleaved({"busy": create}, _BESIDE)
                if not all(importing.returncode is None for importing in running):
                    raise CannotRunError("an import ended while it was measured: the file is too small")
        return {**quiet, **busy}

    async def _copy(self, name: str) -> float:
        owner = names.owner_of(self._tenant, name)
        operations = raw.operations(islice(self._new, _ROWS), self._tenant, name)
        memories, due = raw.copied(owner, operations)
        async with self._database.write.acquired() as connection:
            began = time.perf_counter()
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "memories", records=memories, columns=raw.MEMORY_COLUMNS
                )
                await connection.copy_records_to_table("analysis_due", records=due, columns=raw.DUE_COLUMNS)
            return _ROWS / (time.perf_counter() - began)

    async def _batches(self, name: str) -> float:
        user = self._reverie.user(name)
        rows = list(islice(self._new, _ROWS))
        waiting = iter([rows[at : at + _BATCH] for at in range(0, _ROWS, _BATCH)])

        async def caller() -> None:
            for chunk in waiting:
                _raise_first([*await user.create_batch(chunk)])

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(_BATCH_CALLERS)))
        return _ROWS / (time.perf_counter() - began)

    async def _stream(self, name: str) -> float:
        rows = list(islice(self._new, _ROWS))
        began = time.perf_counter()
        async for outcome in self._reverie.user(name).create_stream(rows, frame=_FRAME):
            if outcome.error is not None:
                raise outcome.error
        return _ROWS / (time.perf_counter() - began)

    @contextlib.asynccontextmanager
    async def _imports(self, file: Path) -> AsyncIterator[list[asyncio.subprocess.Process]]:
        """Imports of a file, each by a command of its own for a user of its own; all have begun."""
        home = str(self._place.platform.home.root)
        users = [f"bench-import-{number}" for number in range(_IMPORTS)]
        command = (sys.executable, "-c", "from ops.cli.main import run; run()", "import", str(file))
        running = [
            await asyncio.create_subprocess_exec(
                *command, "--user", user, "--home", home,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )
            for user in users
        ]  # fmt: skip
        try:
            for user in users:
                await self._until_begun(user)
            yield running
        finally:
            for importing in running:
                with contextlib.suppress(ProcessLookupError):
                    importing.kill()
                await importing.wait()

    async def _until_begun(self, user: str) -> None:
        deadline = time.monotonic() + _BEGUN_SECONDS
        while not await self._reverie.user(user).timeline(limit=1):
            if time.monotonic() > deadline:
                raise CannotRunError(f"an import did not begin within {_BEGUN_SECONDS:.0f} s")
            await asyncio.sleep(0.05)


def write_file(file: Path, rows: int) -> None:
    """A file of so many memories, as `reverie import` reads them."""
    with file.open("w") as out:
        out.writelines(islice(_lines(), rows))


def _lines() -> Iterator[str]:
    for number, text in enumerate(corpus.endless_texts()):
        yield json.dumps({"key": str(number), "text": text, "occurred_at": "2025-03-09"}) + "\n"


def _raise_first(outcomes: list[Outcome]) -> None:
    if failed := next((outcome.error for outcome in outcomes if outcome.error), None):
        raise failed
