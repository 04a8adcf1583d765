"""A zone of a running platform: all of it hurt at once, and mended."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.topology import EDGE
from ops.local import control, lifecycle, plan
from ops.local.home import NotRunningError
from ops.local.process import zone_of

if TYPE_CHECKING:
    from ops.local.platform import Platform

HEALED_WITHIN = timedelta(seconds=60)
_PAUSE = 0.05


def is_envoy(process: str) -> bool:
    """Whether a process is an Envoy: an edge, or the proxy of an instance."""
    return process.startswith(f"{EDGE}-") or process == plan.proxy_of(process.removesuffix(".proxy"))


@dataclass(frozen=True, slots=True)
class Zone:
    """The processes of one zone; the database is in none. Everything here may be repeated."""

    platform: "Platform"
    name: str

    def processes(self) -> dict[str, int]:
        """Those that run, with their numbers."""
        return {name: pid for name, pid in self.platform.processes().items() if zone_of(name) == self.name}

    def names(self) -> tuple[str, ...]:
        """All of its processes, those too that do not run."""
        return tuple(name for name in self.platform.names() if zone_of(name) == self.name)

    def kill(self) -> dict[str, int]:
        """Kill all of it at once; those that ran, with their numbers. It stays dead until `heal`."""
        running = self.processes()
        # Told first, so that none is started again; then killed from here: when this returns, they are.
        control.ask(self.platform.home.control, "hold", *self.names())
        _send(running.values(), signal.SIGKILL)
        return running

    def freeze(self) -> None:
        """Stop all of it in its tracks: it keeps what it holds and answers nobody."""
        _send(self.processes().values(), signal.SIGSTOP)

    def cut(self) -> None:
        """Cut it off: its Envoys, edge and sidecars, stop in their tracks, so nothing gets in or out."""
        _send([pid for name, pid in self.processes().items() if is_envoy(name)], signal.SIGSTOP)

    async def stop(self, within: timedelta = HEALED_WITHIN) -> None:
        """Stop all of it as one should, and leave it so until `heal`."""
        _send(self.processes().values(), signal.SIGCONT)
        control.ask(self.platform.home.control, "stop", *self.names())
        await self.platform.until(lambda: not self.processes(), within, f"zone {self.name} has not stopped")

    async def heal(self, within: timedelta = HEALED_WITHIN) -> None:
        """Undo whatever was done; returns when all of it is healthy. TimeoutError, with what is not."""
        _send(self.processes().values(), signal.SIGCONT)
        control.ask(self.platform.home.control, "start", *self.names())
        deadline = self.platform.clock() + within.total_seconds()
        while troubles := await self._troubles():
            if self.platform.clock() > deadline:
                raise TimeoutError(f"zone {self.name} is not well again: {'; '.join(troubles)}")
            await asyncio.sleep(_PAUSE)

    async def _troubles(self) -> tuple[str, ...]:
        """What is not as it was before; mends on the way what only somebody from outside mends."""
        if down := [name for name in self.names() if self.platform.phase(name) not in lifecycle.OPEN]:
            return (f"not up: {', '.join(down)}",)
        _, nodes = plan.stores(self.platform.home)
        # A node of Valkey that froze was not started again, and may have to take its place back.
        out = [one.place.name for one in nodes if one.place.zone == self.name and not await one.ready()]
        if out:
            return (f"not in their place: {', '.join(out)}",)
        try:
            return tuple((await self.platform.status(weigh=False)).troubles_in(self.name))
        except NotRunningError as error:
            return (str(error),)


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
