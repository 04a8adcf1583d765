"""Applies what `lifecycle.py` decides: makes processes, probes them, sends signals, waits for their end."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Protocol

from ops.local import lifecycle
from ops.local.lifecycle import (
    Event,
    Exited,
    Held,
    Proven,
    Ready,
    Send,
    Spawn,
    State,
    Ticked,
    Unfit,
    Unwanted,
    Wanted,
)
from ops.local.process import Probe, ProcessSpec, ordered
from ops.local.spawn import describe
from services.runtime.clock import MonotonicClock, monotonic

FIRST_PAUSE = 0.03
LONGEST_PAUSE = 0.25
"""Seconds between two probes of a process; the pause doubles each time."""
PROBE_TIMEOUT = 5.0


class Living(Protocol):
    """What is needed of a process that was made; `spawn.Child` is one."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""

    async def ended(self) -> int:
        """Wait for its end: its exit code, or the negative number of the signal that ended it."""


class Supervisor:
    """Keeps a set of processes as they are wanted.

    It must live in the main thread of a process that ends when `run` does: its children end with it.
    """

    def __init__(
        self,
        specs: tuple[ProcessSpec, ...],
        spawn: Callable[[ProcessSpec], Living],
        observe: Callable[[State], None],
        clock: MonotonicClock = monotonic,
    ) -> None:
        self._specs = {spec.name: spec for spec in ordered(specs)}
        self._spawn = spawn
        self._observe = observe
        self._clock = clock
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._living: dict[str, Living] = {}
        self._condemned: set[str] = set()
        self._draining: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.state = lifecycle.initial(self._specs)

    @property
    def names(self) -> tuple[str, ...]:
        """All processes, each after those that it needs."""
        return tuple(self._specs)

    def submit(self, event: Event) -> None:
        """Take note of something; KeyError for a process that there is not."""
        for name in _names_of(event):
            if name not in self._specs:
                raise KeyError(f"no process {name!r}; there are {', '.join(self._specs)}")
        self._events.put_nowait(event)

    def stop(self) -> None:
        """Stop everything; `run` returns when it has ended."""
        self.submit(Unwanted(self.names))

    async def run(self) -> None:
        """Start everything and keep it running until `stop`. Cancelled, it leaves its processes alone."""
        self._take(Wanted(self.names))
        while not self.state.is_over:
            self._take(await self._next())

    async def until(self, condition: Callable[[State], bool]) -> State:
        """Wait until the processes are as the condition says."""
        while not condition(self.state):
            await self._changed.wait()
        return self.state

    async def _next(self) -> Event:
        due = self.state.next_due
        timeout = None if due is None else max(0.0, due - self._clock())
        try:
            async with asyncio.timeout(timeout):
                return await self._events.get()
        except TimeoutError:
            return Ticked()

    def _take(self, event: Event) -> None:
        self.state, actions = lifecycle.step(self._specs, self.state, event, self._clock())
        for action in actions:
            match action:
                case Spawn(name):
                    # Here and not in its task, which may begin after somebody has condemned this life.
                    self._condemned.discard(name)
                    self._lives[name] = asyncio.create_task(self._live(self._specs[name]))
                case Send(name, number):
                    self._send(name, number)
        self._observe(self.state)
        self._changed.set()
        self._changed = asyncio.Event()

    def _send(self, name: str, number: signal.Signals) -> None:
        living = self._living.get(name)
        if living is None:
            # It is still being prepared: it will not be made.
            self._condemned.add(name)
        elif number is signal.SIGKILL or self._specs[name].drain is None:
            living.send(number)
        else:
            draining = asyncio.create_task(_drain(self._specs[name], living))
            self._draining.add(draining)
            draining.add_done_callback(self._draining.discard)

    async def _live(self, spec: ProcessSpec) -> None:
        """One life of a process, from its preparation to its end."""
        try:
            if spec.prepare is not None:
                await asyncio.to_thread(spec.prepare)
            if spec.name in self._condemned:
                self._events.put_nowait(Exited(spec.name, well=False, reason="stopped before it was made"))
                return
            living = self._living[spec.name] = self._spawn(spec)
        except Exception as error:  # noqa: BLE001  (whatever hinders a start is this process's failure)
            self._events.put_nowait(Exited(spec.name, well=False, reason=f"can't start: {error}"))
            return
        probing = spec.probe and asyncio.create_task(self._probe(spec.name, spec.probe))
        code = await living.ended()
        del self._living[spec.name]
        if probing:
            # Not waited for: a probe that does not heed this must not keep the dead from being buried.
            probing.cancel()
        self._events.put_nowait(Exited(spec.name, well=code == 0, reason=describe(code)))

    async def _probe(self, name: str, probe: Probe) -> None:
        """Probe until there is a verdict. Once cancelled it says no more: a later life has its own."""
        this = asyncio.current_task()
        assert this is not None
        pause = FIRST_PAUSE
        while not this.cancelling():
            verdict = await _verdict(name, probe)
            # Asked again: what the probe calls may have swallowed the cancellation.
            if verdict and not this.cancelling():
                self._events.put_nowait(verdict)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _drain(spec: ProcessSpec, living: Living) -> None:
    """Stop a process once it has drained, or has had the time for it."""
    assert spec.drain is not None
    with contextlib.suppress(Exception):  # whatever hinders it: the stop is what counts
        async with asyncio.timeout(spec.grace.total_seconds() / 2):
            await spec.drain()
    living.send(spec.stop_signal)


async def _verdict(name: str, probe: Probe) -> Ready | Unfit | None:
    """What one probe says; None: not yet."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            return Ready(name) if await probe() else None
    except (OSError, TimeoutError):
        return None
    except Exception as error:  # noqa: BLE001  (the probe says that waiting does not help)
        return Unfit(name, str(error))


def _names_of(event: Event) -> tuple[str, ...]:
    match event:
        case Wanted(names) | Unwanted(names) | Held(names):
            return names
        case Ticked() | Proven():
            return ()
        case _:
            return (event.name,)
