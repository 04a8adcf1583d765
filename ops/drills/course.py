"""The course of a drill with a fault: load, 5 s before, the fault, its recovery, 5 s after, the reckoning."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ops.drills import checker, measure
from ops.drills.bystanders import Bystanders
from ops.drills.checker import Damage, Finding
from ops.drills.drill import Drill, Pace
from ops.drills.faults import Account, Fault
from ops.drills.hypothesis import Hypothesis
from ops.drills.load import Load, load
from ops.drills.measure import Window
from ops.drills.readback import what_is_there
from ops.drills.record import Record, Verdict
from ops.drills.sabotage import Sabotage, Saboteur
from ops.drills.scene import Scene
from ops.drills.steady import quiet, until_steady
from ops.drills.watch import Watch
from reverie_client import ReverieError
from services.runtime.clock import MonotonicClock, monotonic

_PAUSE = 0.05
_LOOK_PAUSE = 0.25
"""A look at everything costs a tenth of a second of work beside the load."""
_SHOWN = 5
"""How many findings, or troubles, a record tells."""
_FIELDS = {damage: damage.value for damage in Damage} | {Damage.STALE: "stale_reads"}


@dataclass(slots=True)
class Moments:
    """When what happened, in seconds of the drill's clock."""

    begun: float = 0.0
    """The 5 s before the injection begin."""
    struck: float = 0.0
    rate_before: float = 0.0
    """OK answers a second until then."""
    healthy: float | None = None
    recovered: float | None = None
    ended: float = 0.0
    stuck: str = ""
    """What the fault itself did not get done."""
    troubles: list[str] = field(default_factory=list)
    """What was still not well when the recovery was given up."""


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What was found when all was read back."""

    findings: Sequence[Finding] | None
    """None: nobody can tell."""
    account: Account
    """Of what the fault itself did for clients."""
    obstacle: str = ""
    """Why nobody can."""

    def counts(self) -> dict[str, Any]:
        """As fields of a record."""
        if self.findings is None:
            return dict.fromkeys(_FIELDS.values())
        counted = checker.count(self.findings)
        return {field: counted[damage] for damage, field in _FIELDS.items()}

    def words(self) -> list[str]:
        """The first of them, or what kept anybody from looking."""
        return [self.obstacle] if self.findings is None else [str(one) for one in self.findings[:_SHOWN]]


def judged(record: Record, hypothesis: Hypothesis, broken: Iterable[str] = ()) -> Record:
    """The record with its verdict: what was broken already, and what the hypothesis says of it."""
    found = (*broken, *hypothesis.broken(record))
    return replace(record, verdict=Verdict.FAIL if found else Verdict.PASS, broken=found)


@dataclass(slots=True)
class Course:
    """One run of a drill with a fault."""

    drill: Drill
    scene: Scene
    pace: Pace
    seed: int
    sabotage: Sabotage | None
    clock: MonotonicClock = monotonic
    moments: Moments = field(default_factory=Moments)
    bystanders: Bystanders = field(init=False)

    async def run(self) -> Record:
        """The record. The platform must be healthy."""
        self.bystanders = Bystanders(self.scene)
        async with contextlib.AsyncExitStack() as stack:
            working = await stack.enter_async_context(
                load(self.scene.platform, self.drill.traffic, self.seed, clock=self.clock)
            )
            fault = self.drill.fault(replace(self.scene, is_calm=lambda: self._is_even(working)))
            stack.push_async_callback(fault.leave)
            watch = Watch(self.scene, fault.victims, self.clock)
            await self._until_steady(working)
            async with self._noticing(watch):
                await self._strike(fault)
                await self._recover(fault, working)
            if self.sabotage is Sabotage.STALE:
                await self._damage(working)
            await quiet(working, self.pace.after, self.clock)
            self.moments.ended = self.clock()
            await working.stop()
            return self._record(fault, watch, working, await self._reckon(fault, working))

    async def _until_steady(self, working: Load) -> None:
        """Begins the load, and returns when it has run evenly for a while."""
        rate = self.drill.traffic.rate
        self.scene.say(f"{rate:g} calls/s")
        working.start()
        before = await until_steady(working, rate, self.pace, self.scene.say, self.clock)
        self.moments.begun = before.begin
        self.moments.rate_before = measure.rate(working.calls, before)

    def _is_even(self, working: Load) -> bool:
        return measure.is_even(working.calls, self.drill.traffic.rate, self.clock())

    async def _strike(self, fault: Fault) -> None:
        self.moments.struck = self.clock()
        held = self.moments.struck + self.drill.holds.total_seconds()
        try:
            await fault.strike()
            await asyncio.sleep(max(0.0, held - self.clock()))
            await fault.mend()
        except (TimeoutError, ReverieError) as error:
            self.moments.stuck = str(error)
            self.scene.say(f"stuck: {error}")

    async def _recover(self, fault: Fault, working: Load) -> None:
        """Waits until all is healthy and the load back at its rate, or gives that up."""
        deadline = self.clock() + self.pace.give_up.total_seconds()
        while self.clock() < deadline:
            working.check()
            if self.moments.healthy is None and fault.is_over():
                await self._look()
            if self.moments.healthy is not None:
                self.moments.recovered = measure.back_at(
                    working.answers, self.moments.healthy, self.moments.rate_before, self.clock()
                )
                if self.moments.recovered is not None:
                    self.scene.say("all is well again")
                    return
            await asyncio.sleep(_PAUSE)
        self.scene.say("not recovered: given up")

    async def _look(self) -> None:
        """Notes when all was healthy; what looks ill is looked at again a little later."""
        at = self.clock()
        status = await self.scene.platform.status(weigh=False)
        self.moments.troubles = list(status.troubles())
        if not self.moments.troubles:
            self.moments.healthy = at
        else:
            await asyncio.sleep(_LOOK_PAUSE)

    async def _damage(self, working: Load) -> None:
        assert self.sabotage is not None
        done = await Saboteur(self.scene.platform, working.journal, self.clock).damage(self.sabotage)
        self.scene.say(f"sabotage: {done}")

    async def _reckon(self, fault: Fault, working: Load) -> Reckoning:
        """Reads everything back and compares it with the journals."""
        if self.sabotage not in {None, Sabotage.STALE}:
            await self._damage(working)
        self.scene.say(f"reading back {len(working.journal.histories):,} memories")
        users = [person.caught_up() for person in working.people]
        try:
            there = await what_is_there(users, working.journal)
        except ReverieError as error:
            return Reckoning(None, Account(), f"what is there can't be read back: {error.code.name} {error}")
        account = await fault.reckoning()
        if account.obstacle:
            return Reckoning(None, account, account.obstacle)
        return Reckoning([*checker.check(working.journal, there), *account.findings], account)

    def _record(self, fault: Fault, watch: Watch, working: Load, reckoning: Reckoning) -> Record:
        moments, zones = self.moments, len(self.scene.zones)
        figures = measure.figures(working.calls, Window(moments.begun, moments.ended))
        proof = {**fault.proof(), "noticed_by": watch.noticed_by or None, "errors": figures.errors}
        if logged := self._faults():
            proof["logged"] = logged
        fields = figures.as_fields()
        fields["acknowledged"] += reckoning.account.acknowledged
        fell = fault.fell_at or moments.struck
        record = Record(
            drill=self.drill.name,
            zones=zones,
            verdict=Verdict.PASS,
            hypothesis=self.drill.hypothesis.sentence(zones),
            seed=self.seed,
            proof=proof,
            detected_seconds=_since(fell, watch.noticed_at),
            recovered_seconds=_since(fault.recovers_from or fell, moments.recovered),
            ratios=reckoning.account.ratios,
            **reckoning.counts(),
            **fields,
        )
        return judged(record, self.drill.hypothesis, [*self._not_shown(fault), *reckoning.words()])

    def _faults(self) -> list[str]:
        """The first of what services took for faults of their own; a person is told, too."""
        found = self.bystanders.faults()[:_SHOWN]
        for line in found:
            self.scene.say(line)
        return found

    def _not_shown(self, fault: Fault) -> Iterator[str]:
        """What the figures alone don't say."""
        if not fault.took_place():
            yield "nothing shows that the fault took place"
        if self.moments.stuck:
            yield self.moments.stuck
        yield from self.bystanders.ended(fault)
        if self.moments.recovered is None:
            for trouble in self.moments.troubles[:_SHOWN]:
                yield f"still not well: {trouble}"

    @contextlib.asynccontextmanager
    async def _noticing(self, watch: Watch) -> AsyncIterator[None]:
        noticing = asyncio.create_task(watch.until_noticed())
        try:
            yield
        finally:
            noticing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await noticing


def _since(begin: float, moment: float | None) -> float | None:
    return None if moment is None else round(moment - begin, 3)
