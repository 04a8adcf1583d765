"""One run of a platform: from nothing to ready, and back to nothing. Lives in the supervisor's process."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from ops.local import control, lifecycle, logs, plan, procfs, record
from ops.local.bond import adopt_orphans
from ops.local.home import Endpoint, Home
from ops.local.lifecycle import Proven, State
from ops.local.process import ProcessSpec
from ops.local.procfs import ProcessId
from ops.local.record import ProcessRecord, Record, Stage
from ops.local.spawn import Child, Spawner, bury, dead_strangers
from ops.local.supervisor import Supervisor
from services.runtime.clock import MonotonicClock, monotonic

READY_WITHIN = timedelta(seconds=30)
"""How long it may take, once all processes run, until calls go through all of them."""
_PAUSE = 0.2
_TIDY_EVERY = 30.0

Gate = Callable[[], Awaitable[str]]
"""Says what is still missing before calls go through; empty if nothing is."""


class Session:
    """Runs processes, records what becomes of them, and takes requests."""

    def __init__(
        self,
        home: Home,
        specs: tuple[ProcessSpec, ...],
        gate: Gate,
        endpoint: Endpoint,
        *,
        environ: Mapping[str, str],
        report: Callable[[str], None],
        clock: MonotonicClock = monotonic,
    ) -> None:
        """`report` gets a line for a person whenever something happens."""
        self._home = home
        self._gate = gate
        self._endpoint = endpoint
        self._report = report
        self._clock = clock
        self._began = clock()
        self._spawner = Spawner(home.root, home.log_of, plan.fork_socket(home), environ)
        self._ids: dict[str, ProcessId] = {}
        me = procfs.identify(os.getpid())
        assert me is not None
        self._record = Record(me)
        self._supervisor = Supervisor(specs, self._spawn, self._observe, clock)

    async def run(self) -> Record:
        """Start, stay until asked to stop or until the start failed, and stop. The last record says which."""
        loop = asyncio.get_running_loop()
        # A copy that the fork server makes is an orphan, and is to be ours.
        adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        running = asyncio.create_task(self._supervisor.run())
        starting = asyncio.create_task(self._start())
        tidying = asyncio.create_task(self._tidy())
        async with control.served(self._home.control, self._supervisor):
            await asyncio.wait((running, starting), return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and starting.exception():
                self.stop()
            await running
        tidying.cancel()
        if not starting.done():
            starting.cancel()
        elif error := starting.exception():
            raise error
        self._enter(Stage.FAILED if self._record.failure else Stage.STOPPED)
        return self._record

    def stop(self) -> None:
        """Stop everything, in reverse order; `run` returns when it is done."""
        if self._record.stage is Stage.STOPPING:
            return
        self._home.publish(None)
        self._enter(Stage.STOPPING)
        self._supervisor.stop()

    async def _start(self) -> None:
        """Wait until calls go through, then say so; or find out why they don't, and stop."""
        await self._supervisor.until(lambda state: state.is_ready or bool(state.failed))
        missing = await self._missing()
        if failed := self._supervisor.state.failed:
            self._fail(failed[0], f"{failed[0]} {self._supervisor.state[failed[0]].reason}")
        elif missing:
            self._fail("", f"everything runs, but calls do not go through: {missing}")
        elif self._record.stage is Stage.STARTING:
            self._supervisor.submit(Proven())
            self._home.publish(self._endpoint)
            self._report(
                f"{self._clock() - self._began:6.1f} s  ready: everything is healthy, and calls go through"
            )
            # Last: whoever waits for it hears no more.
            self._enter(Stage.READY)

    async def _missing(self) -> str:
        """What the gate misses at the end of the time that there is; empty as soon as it misses nothing."""
        deadline = self._clock() + READY_WITHIN.total_seconds()
        while True:
            missing = "" if self._supervisor.state.failed else await self._gate()
            if not missing or self._clock() > deadline:
                return missing
            await asyncio.sleep(_PAUSE)

    async def _tidy(self) -> None:
        """Keep the logs of processes that run for long small, and dead orphans from staying."""
        seen: set[int] = set()
        while True:
            await asyncio.sleep(_TIDY_EVERY)
            dead = dead_strangers([identity.pid for identity in self._ids.values()])
            # Whoever does wait for one has done so by the second look.
            bury(dead & seen)
            seen = dead
            for name in self._supervisor.names:
                await asyncio.to_thread(logs.trim, self._home.log_of(name))

    def _fail(self, culprit: str, why: str) -> None:
        if self._record.stage is Stage.STARTING:
            self._change(failure=why, culprit=culprit)
            self.stop()

    def _spawn(self, spec: ProcessSpec) -> Child:
        child = self._spawner(spec)
        self._ids[spec.name] = child.id
        self._observe(self._supervisor.state)
        return child

    def _observe(self, state: State) -> None:
        self._change(processes={name: self._describe(name, member) for name, member in state.members.items()})

    def _describe(self, name: str, member: lifecycle.Member) -> ProcessRecord:
        identity = self._ids.get(name) if member.phase in lifecycle.ALIVE else None
        at = round(max(0.0, member.since - self._began), 3)
        return ProcessRecord(member.phase, at, member.restarts, member.reason, identity)

    def _enter(self, stage: Stage) -> None:
        self._change(stage=stage, at=round(self._clock() - self._began, 3))

    def _change(self, **fields: object) -> None:
        old = self._record
        self._record = record.changed(old, **fields)
        record.dump(self._record, self._home.state)
        for line in record.progress(old, self._record):
            self._report(line)
