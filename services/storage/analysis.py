"""The queue of analysis, for workers: hands out what is due, takes results and failures.

The state is in the database: a row is work to do. Claims count as attempts and end with their lease, so what
a worker takes along when it dies comes back, and what kills its workers runs out of attempts.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import grpc
import numpy as np

from reverie.storage.v1 import analysis_pb2, analysis_pb2_grpc
from services.runtime.errors import Violation
from services.storage import limits, records
from services.storage.analyses import DIMENSIONS, EMBED, Analysis, analysis
from services.storage.commit import committed
from services.storage.database import Pool
from services.storage.queries import text

Context = grpc.aio.ServicerContext[Any, Any]

MAX_ITEMS = 256
"""The most analyses, results, failures or hints of one call."""

USUAL_LEASE = timedelta(seconds=60)
_MAX_LEASE = timedelta(hours=1)
_MAX_ERROR = 1_024


@dataclass(frozen=True, slots=True)
class Patience:
    """How failing analyses are treated. Times are by the database's clock."""

    max_attempts: int = 5
    """After so many an analysis is a dead letter."""
    first_backoff: timedelta = timedelta(seconds=2)
    """The first pause after a failure; later ones double. A quarter more or less, at random."""
    longest_backoff: timedelta = timedelta(minutes=10)
    overdue: timedelta = timedelta(seconds=5)
    """What has been due for longer is hinted again."""


class Result(NamedTuple):
    """What was found in one state of a memory."""

    owner: UUID
    id: UUID
    memory_revision: int
    vector: bytes


class AnalysisService(analysis_pb2_grpc.StorageAnalysisServiceServicer):
    """Hands out due analyses and takes what became of them."""

    def __init__(self, pool: Pool, patience: Patience, random: Random) -> None:
        self._pool = pool
        self._patience = patience
        self._random = random

    async def ClaimDue(  # noqa: N802
        self, request: analysis_pb2.ClaimDueRequest, context: Context
    ) -> analysis_pb2.ClaimDueResponse:
        """Claims due analyses: hinted ones, then some of everybody's, then the oldest."""
        what = analysis(request.stage, request.model)
        limits.check(_broken_claim(request))
        arguments = (
            *what,
            request.limit,
            request.lease.ToTimedelta() if request.HasField("lease") else USUAL_LEASE,
            self._patience.max_attempts,
            [records.id_of(key.owner) for key in request.hints],
            [records.id_of(key.id) for key in request.hints],
            UUID(int=self._random.getrandbits(128)),
        )
        rows = await committed(self._pool, text("claim_due"), arguments, context)
        return analysis_pb2.ClaimDueResponse(analyses=[_due(*row) for row in rows])

    async def AttachResults(  # noqa: N802
        self, request: analysis_pb2.AttachResultsRequest, context: Context
    ) -> analysis_pb2.AttachResultsResponse:
        """Attaches results; those for a state that is gone are dropped."""
        what = analysis(request.stage, request.model)
        limits.check(_broken_results(request, what))
        results = [
            Result(
                records.id_of(result.owner or request.owner),
                records.id_of(result.id),
                result.memory_revision,
                result.vector,
            )
            for result in request.results
        ]
        attached, left_out = await self._attach(what, results, context)
        # Those who are being written to are waited for, each alone, while nobody waits for them.
        alone = (
            self._attach(what, [result for result in results if result.owner == owner], context, wait=True)
            for owner in left_out
        )
        attached += sum(number for number, _ in await asyncio.gather(*alone))
        return analysis_pb2.AttachResultsResponse(attached=attached)

    async def _attach(
        self, what: Analysis, results: Sequence["Result"], context: Context, *, wait: bool = False
    ) -> tuple[int, Sequence[UUID]]:
        """How many were attached, and whose were left out, since somebody else had locked them."""
        arguments = (*what, *zip(*results, strict=True), wait)
        ((attached, left_out),) = await committed(self._pool, text("attach_embeddings"), arguments, context)
        return attached, left_out

    async def ReportFailures(  # noqa: N802
        self, request: analysis_pb2.ReportFailuresRequest, context: Context
    ) -> analysis_pb2.ReportFailuresResponse:
        """Notes failures; after the last attempt an analysis is a dead letter."""
        what = analysis(request.stage, request.model)
        limits.check(_broken_failures(request))
        patience = self._patience
        arguments = (
            *what,
            [records.id_of(failure.key.owner) for failure in request.failures],
            [records.id_of(failure.key.id) for failure in request.failures],
            [failure.memory_revision for failure in request.failures],
            [failure.error for failure in request.failures],
            patience.max_attempts,
            patience.first_backoff,
            patience.longest_backoff,
        )
        rows = await committed(self._pool, text("report_failures"), arguments, context)
        return analysis_pb2.ReportFailuresResponse(dead=sum(dead for (dead,) in rows))

    async def overdue(self, limit: int = 4_096) -> Sequence[tuple[UUID, UUID]]:
        """Owners and ids of what has been due for so long that its hint must be lost."""
        ((model,),) = await self._pool.fetch(text("active_model"))
        rows = await self._pool.fetch(text("overdue"), EMBED, model, self._patience.overdue, limit)
        return [(owner, id_) for owner, id_ in rows]


def _due(
    owner: UUID, id_: UUID, revision: int, attempt: int, content: str, language: str | None
) -> records.Fields:
    return {
        "key": {"owner": owner.bytes, "id": id_.bytes},
        "memory_revision": revision,
        "attempt": attempt,
        "text": content,
        "language": language or "",
    }


def _broken_claim(request: analysis_pb2.ClaimDueRequest) -> Iterator[Violation]:
    if not 1 <= request.limit <= MAX_ITEMS:
        yield Violation("limit", f"is 1 to {MAX_ITEMS}")
    if request.HasField("lease") and not timedelta() < request.lease.ToTimedelta() <= _MAX_LEASE:
        yield Violation("lease", "is more than nothing and at most an hour")
    if len(request.hints) > MAX_ITEMS:
        yield Violation("hints", f"has at most {MAX_ITEMS} entries")
    yield from _broken_keys("hints", request.hints)


def _broken_results(request: analysis_pb2.AttachResultsRequest, what: Analysis) -> Iterator[Violation]:
    yield from _broken_number("results", request.results)
    keys = {(result.owner or request.owner, result.id) for result in request.results}
    if len(keys) < len(request.results):
        yield Violation("results", "has one for each memory")
    length = DIMENSIONS[what.model]
    for at, result in enumerate(request.results):
        if len(result.owner or request.owner) != 16:
            yield Violation(f"results[{at}].owner", "has 16 bytes")
        if len(result.id) != 16:
            yield Violation(f"results[{at}].id", "has 16 bytes")
        if len(result.vector) != 4 * length:
            yield Violation(f"results[{at}].vector", f"has {length} numbers of 4 bytes")
        elif not _fits(result.vector):
            yield Violation(f"results[{at}].vector", "has finite numbers up to 65,504")


def _broken_failures(request: analysis_pb2.ReportFailuresRequest) -> Iterator[Violation]:
    yield from _broken_number("failures", request.failures)
    yield from _broken_keys("failures", [failure.key for failure in request.failures])
    for at, failure in enumerate(request.failures):
        if not 1 <= len(failure.error.encode()) <= _MAX_ERROR or "\0" in failure.error:
            yield Violation(f"failures[{at}].error", f"has 1 to {_MAX_ERROR} bytes without U+0000")


def _broken_number(field: str, items: Sequence[object]) -> Iterator[Violation]:
    if not 1 <= len(items) <= MAX_ITEMS:
        yield Violation(field, f"has 1 to {MAX_ITEMS} entries")


def _broken_keys(field: str, keys: Iterable[analysis_pb2.MemoryKey]) -> Iterator[Violation]:
    for at, key in enumerate(keys):
        if len(key.owner) != 16 or len(key.id) != 16:
            yield Violation(f"{field}[{at}]", "has an owner and an id of 16 bytes")


def _fits(vector: bytes) -> bool:
    """Whether half precision can hold every number."""
    return bool((np.abs(np.frombuffer(vector, "<f4")) <= 65_504).all())
