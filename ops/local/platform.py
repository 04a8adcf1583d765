"""A platform as tests, benches and the command handle it: start, look, hurt, mend, stop.

    async with Platform.temporary() as platform:
        platform.endpoint.public, platform.token(user="ada")
        platform.kill("query-a-0")
        await platform.wait_healthy()

The platform itself is a process of its own (`python -m ops.local`), which supervises all others.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from ops.local import (
    background,
    control,
    identity,
    leftovers,
    lifecycle,
    observe,
    plan,
    ports,
    procfs,
    record,
)
from ops.local.home import Endpoint, Home, HomeError, NotRunningError
from ops.local.lifecycle import Phase
from ops.local.plan import Options
from ops.local.procfs import ProcessId
from ops.local.record import Record
from ops.local.status import Status
from ops.local.zone import Zone
from services.runtime.clock import MonotonicClock, monotonic

STOP_WITHIN = timedelta(seconds=120)
HEALTHY_WITHIN = timedelta(seconds=30)
_PAUSE = 0.05


@dataclass(slots=True)
class Platform:
    """A running platform, known by its home."""

    home: Home
    clock: MonotonicClock = monotonic
    supervisor: "subprocess.Popen[bytes] | None" = None
    """Its process, if it was started here."""

    @classmethod
    async def start(
        cls,
        home: Home,
        options: Options | None = None,
        *,
        on_leash: bool = False,
        report: Callable[[str], None] = background.silent,
        clock: MonotonicClock = monotonic,
    ) -> "Platform":
        """Start in the background and return when everything is healthy.

        StartError with the reason if it does not get there: then nothing runs. HomeError if the home can't be
        used or already runs. On a leash: when this process ends, however it ends, the platform stops and its
        home is removed. `report` gets lines about the progress.
        """
        options = options or Options()
        supervisor = await background.launch(home, options, on_leash=on_leash, report=report, clock=clock)
        return cls(home, clock, supervisor)

    @classmethod
    @contextlib.asynccontextmanager
    async def temporary(
        cls, options: Options | None = None, *, report: Callable[[str], None] = background.silent
    ) -> AsyncIterator["Platform"]:
        """One with a home of its own, on free ports, that is gone at the end, also when interrupted."""
        home = Home(Path(tempfile.mkdtemp(prefix="reverie-")))
        options = options or Options()
        options = replace(options, port=options.port or 0, operator_port=options.operator_port or 0)
        try:
            platform = await cls.start(home, options, on_leash=True, report=report)
            try:
                yield platform
            finally:
                with contextlib.suppress(NotRunningError):  # it was stopped, or killed, on purpose
                    await platform.stop()
                await platform.reap()
        finally:
            home.remove()

    @property
    def endpoint(self) -> Endpoint:
        """Where it takes calls. NotRunningError if it does not."""
        return self.home.endpoint()

    @property
    def is_running(self) -> bool:
        """Whether its supervisor lives."""
        found = record.load(self.home.state)
        return found is not None and found.supervisor.is_alive()

    def token(
        self,
        user: str | None = None,
        scopes: Collection[str] = (),
        ttl: timedelta = identity.DEFAULT_TTL,
    ) -> str:
        """A JWT of the home's tenant."""
        return identity.issue_token(self.home, user=user, scopes=scopes, ttl=ttl)

    def processes(self) -> dict[str, int]:
        """The processes that run, with their numbers; the supervisor is not among them."""
        return {name: one.pid for name, one in self._record().alive.items()}

    @property
    def zones(self) -> tuple[str, ...]:
        """Its zones, in order."""
        return plan.zones_of(Options(), ports.kept(self.home.ports))

    def zone(self, name: str) -> Zone:
        """One zone, to be hurt and mended. HomeError if there is none of that name."""
        if name not in self.zones:
            raise HomeError(f"no zone {name!r}; there are {', '.join(self.zones)}")
        return Zone(self, name)

    def names(self) -> tuple[str, ...]:
        """All of its processes, those too that do not run."""
        return tuple(self._record().processes)

    async def status(self, *, weigh: bool = True) -> Status:
        """How it is, seen from outside; its memory too if `weigh`. NotRunningError if nothing runs."""
        return await observe.look(self.home, weigh=weigh)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a process a signal that ends it; its number."""
        pid = self._process(name).pid
        os.kill(pid, number)
        return pid

    def kill_supervisor(self) -> int:
        """Kill the supervisor in a way that it does not notice; its number."""
        pid = self._record().supervisor.pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def restarts(self, name: str) -> int:
        """How often a process was started again after it ended by itself."""
        return self._record().processes[name].restarts

    def freeze(self, name: str) -> None:
        """Stop a process and its children in their tracks: they keep what they hold and answer nobody."""
        self._signal_family(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        self._signal_family(name, signal.SIGCONT)

    async def restart(self, name: str, within: timedelta = HEALTHY_WITHIN) -> None:
        """Stop a process as one should if it runs, start it at once in any case, wait until it is ready."""
        before = self._record().processes.get(name)
        control.ask(self.home.control, "restart", name)
        # The supervisor answers before it acts, so at first the record is the one of before.
        await self.until(
            lambda: self._record().processes[name] != before and self.phase(name) in lifecycle.OPEN,
            within,
            f"{name} did not get ready again",
        )

    async def stop_process(self, name: str, within: timedelta = HEALTHY_WITHIN) -> None:
        """Stop a process as one should and leave it so; those that need it stay."""
        control.ask(self.home.control, "stop", name)
        await self.until(lambda: self.phase(name) is Phase.STOPPED, within, f"{name} did not stop")

    async def start_process(self, name: str, within: timedelta = HEALTHY_WITHIN) -> None:
        """Start a process that was stopped or given up; wait until it is ready."""
        control.ask(self.home.control, "start", name)
        await self.until(lambda: self.phase(name) in lifecycle.OPEN, within, f"{name} did not get ready")

    async def wait_healthy(self, within: timedelta = HEALTHY_WITHIN) -> Status:
        """Wait until everything is healthy, in sync and reachable. TimeoutError, with what is not."""
        deadline = self.clock() + within.total_seconds()
        while True:
            try:
                status = await self.status(weigh=False)
                troubles = tuple(status.troubles())
            except NotRunningError as error:
                troubles = (str(error),)
            if not troubles:
                return status
            if self.clock() > deadline:
                raise TimeoutError(f"not well within {within.total_seconds():.0f} s: {'; '.join(troubles)}")
            await asyncio.sleep(_PAUSE)

    async def stop(self, report: Callable[[str], None] = background.silent) -> None:
        """Stop everything, in reverse order; nothing of it is left afterwards, or HomeError says what.

        A start that has only begun is waited for. NotRunningError if there was nothing to stop.
        """
        # Who holds the home without a record is about to start everything.
        await self.until(
            lambda: self.is_running or not self.home.is_locked(),
            STOP_WITHIN,
            "the start did not get far enough",
        )
        found = record.load(self.home.state)
        if found is None or not (found.supervisor.is_alive() or found.alive):
            raise NotRunningError(f"no platform runs in {self.home.root}")
        await self._stop_supervisor(found.supervisor, report)
        await self.reap()
        if left := await leftovers.end(self.home):
            report(f"ended {left} processes whose supervisor was dead")
        self.home.publish(None)

    async def reap(self) -> None:
        """Wait for the end of a supervisor that was started here and was stopped or killed."""
        if self.supervisor is not None:
            await background.reap(self.supervisor)

    async def _stop_supervisor(self, supervisor: ProcessId, report: Callable[[str], None]) -> None:
        if not supervisor.is_alive():
            return
        for name in self.processes():
            with contextlib.suppress(HomeError):  # it has ended meanwhile
                # What was frozen could not stop as it should.
                self.thaw(name)
        os.kill(supervisor.pid, signal.SIGTERM)
        try:
            await self.until(lambda: not supervisor.is_alive(), STOP_WITHIN, "the supervisor did not end")
        except TimeoutError as error:
            report(f"{error}: it is killed")
            os.kill(supervisor.pid, signal.SIGKILL)

    async def until(self, condition: Callable[[], bool], within: timedelta, otherwise: str) -> None:
        """Wait until a condition holds. TimeoutError, saying otherwise, if it does not."""
        deadline = self.clock() + within.total_seconds()
        while not condition():
            if self.clock() > deadline:
                raise TimeoutError(f"{otherwise} within {within.total_seconds():.0f} s")
            await asyncio.sleep(_PAUSE)

    def _record(self) -> Record:
        found = record.load(self.home.state)
        if found is None or not (found.supervisor.is_alive() or found.alive):
            raise NotRunningError(f"no platform runs in {self.home.root}")
        return found

    def phase(self, name: str) -> Phase:
        """Where a process is, as the supervisor knows it."""
        return self._record().processes[name].phase

    def _process(self, name: str) -> ProcessId:
        alive = self._record().alive
        if name not in alive:
            raise HomeError(f"no process {name!r} runs; there are {', '.join(alive)}")
        return alive[name]

    def _signal_family(self, name: str, number: signal.Signals) -> None:
        for pid in procfs.families((self._process(name).pid,), procfs.parents()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
