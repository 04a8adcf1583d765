"""The worker: takes the planner's steps. Claims, works, attaches, reports failures one by one."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration

from reverie.storage.v1 import analysis_pb2
from services.analyse.background import step_back
from services.analyse.hints import Hints, HintsDownError
from services.analyse.planner import Claim, Planner, Wait, isolated
from services.analyse.stage import Stage, Work, cause
from services.runtime.clock import MonotonicClock, monotonic
from services.runtime.errors import ReverieError
from services.runtime.telemetry import Counter
from services.storage.client import StorageAnalysisClient

T = TypeVar("T")
Due = analysis_pb2.DueAnalysis

CLAIM_SECONDS = 5.0
"""How long a claim may take: one statement of a few milliseconds, and the mesh's repeats."""

ATTACH_SECONDS = 15.0
"""How long attaching may take: it waits for the owner's lock, which a large batch may hold."""

PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)
"""What storage answers when it is not the results' fault."""


@dataclass(slots=True)
class Outcome:
    """What became of a group of analyses."""

    results: list[tuple[Due, bytes]] = field(default_factory=list)
    failures: list[tuple[Due, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a worker counts."""

    attached: Counter = field(
        default_factory=lambda: Counter("reverie_analyses_attached_total", "Results that were attached.")
    )
    gone: Counter = field(
        default_factory=lambda: Counter("reverie_analyses_gone_total", "Results for states that were gone.")
    )
    failed: Counter = field(
        default_factory=lambda: Counter("reverie_analyses_failed_total", "Analyses that failed.")
    )


class Worker:
    """One worker of one stage. It steps back by `niceness` behind whatever answers calls.

    What it has claimed when it is killed comes due again as the lease ends, for whoever claims then.
    """

    def __init__(
        self,
        storage: StorageAnalysisClient,
        stage: Stage,
        hints: Hints,
        planner: Planner,
        *,
        lease: timedelta,
        niceness: int = 0,
        clock: MonotonicClock = monotonic,
        shuffle: Callable[[list[int]], None] = random.shuffle,
    ) -> None:
        self.numbers = Numbers()
        self._storage = storage
        self._stage = stage
        self._hints = hints
        self._planner = planner
        self._lease = Duration()
        self._lease.FromTimedelta(lease)
        self._clock = clock
        self._shuffle = shuffle
        self._stopping = asyncio.Event()
        self._failing = False
        self._thread = ThreadPoolExecutor(1, "stage", step_back, (niceness,))
        self._log = structlog.get_logger("worker").bind(stage=stage.name, model=stage.model)

    async def run(self) -> None:
        """Work until `stop`: the group under way is attached, the rest of the claim left to the lease."""
        try:
            while not self._stopping.is_set():
                await self._take(self._planner.next())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """Ask `run` to end soon."""
        self._stopping.set()

    async def _take(self, step: Claim | Wait) -> None:
        if isinstance(step, Claim):
            await self._claim(step)
        elif step.deaf:
            await self._unless_stopped(asyncio.sleep(step.seconds))
        else:
            await self._listen(step.seconds)

    async def _listen(self, seconds: float) -> None:
        try:
            keys = await self._unless_stopped(self._hints.read(seconds))
        except HintsDownError:
            await self._unless_stopped(asyncio.sleep(seconds))
            keys = ()
        self._planner.hinted(keys or ())

    async def _claim(self, claim: Claim) -> None:
        request = analysis_pb2.ClaimDueRequest(
            stage=self._stage.name,
            model=self._stage.model,
            limit=claim.limit,
            lease=self._lease,
            hints=(analysis_pb2.MemoryKey(owner=key.owner, id=key.id) for key in claim.hints),
        )
        asked = self._clock()
        response = await self._call(self._storage.claim_due(request, CLAIM_SECONDS))
        if response is None:
            return
        self._planner.claimed(len(response.analyses), self._clock() - asked)
        groups = isolated([due.attempt for due in response.analyses], self._shuffle)
        for group in groups:
            if self._stopping.is_set():
                break
            await self._finish([response.analyses[at] for at in group])

    async def _finish(self, analyses: Sequence[Due]) -> None:
        started = self._clock()
        outcome = await self._worked(analyses)
        self._planner.worked(len(analyses), self._clock() - started)
        outcome.failures += await self._attach(outcome.results)
        await self._report(outcome.failures)

    async def _worked(self, analyses: Sequence[Due]) -> Outcome:
        """Run the stage; if it fails for several together, for each alone."""
        work = [Work(due.text, due.language) for due in analyses]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._stage.run, work)
        except Exception as error:  # noqa: BLE001  (a stage may fail in any way; its memory ends in the dead letters)
            if len(analyses) == 1:
                return Outcome(failures=[(analyses[0], cause(error))])
            return await self._one_by_one(analyses)
        return Outcome(results=list(zip(analyses, found, strict=True)))

    async def _one_by_one(self, analyses: Sequence[Due]) -> Outcome:
        outcome = Outcome()
        for due in analyses:
            alone = await self._worked([due])
            outcome.results += alone.results
            outcome.failures += alone.failures
        return outcome

    async def _attach(self, found: Sequence[tuple[Due, bytes]]) -> list[tuple[Due, str]]:
        """Attach results; return what storage refused, which are failures too."""
        if not found:
            return []
        request = analysis_pb2.AttachResultsRequest(
            stage=self._stage.name, model=self._stage.model, results=(_result(*one) for one in found)
        )
        try:
            response = await self._storage.attach_results(request, ATTACH_SECONDS)
        except ReverieError as error:
            return self._not_attached(error, [due for due, _ in found])
        self.numbers.attached.add(response.attached)
        self.numbers.gone.add(len(found) - response.attached)
        return []

    def _not_attached(self, error: ReverieError, analyses: Sequence[Due]) -> list[tuple[Due, str]]:
        if error.code not in PASSING:
            return [(due, f"storage refused the result: {error.reason}") for due in analyses]
        # Nothing is wrong with the memories: the lease gives them back.
        self._say_failed("results were not attached", error)
        return []

    async def _report(self, failures: Sequence[tuple[Due, str]]) -> None:
        if not failures:
            return
        self.numbers.failed.add(len(failures))
        self._log.warning("analyses failed", count=len(failures), cause=failures[0][1])
        request = analysis_pb2.ReportFailuresRequest(
            stage=self._stage.name,
            model=self._stage.model,
            failures=(
                analysis_pb2.AnalysisFailure(key=due.key, memory_revision=due.memory_revision, error=said)
                for due, said in failures
            ),
        )
        await self._call(self._storage.report_failures(request, CLAIM_SECONDS))

    async def _call(self, call: Awaitable[T]) -> T | None:
        """Wait for storage; None, after telling the planner, if it does not take the call."""
        try:
            answer = await call
        except ReverieError as error:
            self._say_failed("storage did not take a call", error)
            return None
        if self._failing:
            self._failing = False
            self._log.info("storage takes calls again")
        return answer

    def _say_failed(self, what: str, error: ReverieError) -> None:
        self._planner.failed()
        if not self._failing:
            self._failing = True
            self._log.warning(what, reason=error.reason, error=error.message)

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """Wait for the work; None, with the work cancelled, if `stop` comes first."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            stop.cancel()


def _result(due: Due, vector: bytes) -> analysis_pb2.StageResult:
    return analysis_pb2.StageResult(
        owner=due.key.owner, id=due.key.id, memory_revision=due.memory_revision, vector=vector
    )
