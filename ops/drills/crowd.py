"""Processes of clients who repeat nothing: together they are a crowd that one process could not be.

    async with gathered(platform, processes=2, users=8, seed=1) as crowd:
        calls = await crowd.does(Saturate(callers=16, seconds=3))
        told, findings = await crowd.reckoning()

A line of JSON asks for something, a line tells what came of it. Moments are of the system's monotonic clock,
which all processes share.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from ops.drills import checker
from ops.drills.checker import Damage, Finding
from ops.drills.load import Load, Traffic, client_from, load
from ops.drills.measure import Call
from ops.drills.readback import what_is_there
from ops.local.home import Home
from ops.local.platform import Platform
from reverie_client import NO_RETRY
from services.runtime import process

_LONGEST_LINE = 64 * 1024 * 1024
_FORWARD = -10
_MIX = {"create": 40, "update": 15, "delete": 5, "read": 15, "search": 25}
"""Dearer calls than in other drills: who makes them takes the less of the machine that is the platform's.

Being refused costs a caller the same whatever the call would have cost."""
Request = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Saturate:
    """Calls one after the other by so many callers in each process."""

    callers: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Arrive:
    """Calls at a given rate, of all processes together; at random, as a crowd does not arrive in step."""

    rate: float
    seconds: float


class Crowd:
    """The processes, as whoever asks them sees them."""

    def __init__(self, members: Sequence[asyncio.subprocess.Process]) -> None:
        self._members = members

    async def does(self, phase: Saturate | Arrive) -> list[Call]:
        """Every call of a phase, once all have ended."""
        if isinstance(phase, Arrive):
            phase = Arrive(phase.rate / len(self._members), phase.seconds)
        answers = await self.ask({"does": type(phase).__name__, **asdict(phase)})
        return [Call(*fields) for answer in answers for fields in answer["calls"]]

    async def reckoning(self) -> tuple[int, list[Finding]]:
        """How many calls were acknowledged in all, and every promise that was broken."""
        answers = await self.ask({"does": "Reckon"})
        found = [fields for answer in answers for fields in answer["findings"]]
        findings = [Finding(Damage(damage), UUID(id_), detail) for damage, id_, detail in found]
        return sum(answer["acknowledged"] for answer in answers), findings

    async def ask(self, request: Request) -> list[Answer]:
        """What each answers. RuntimeError if one has ended."""
        line = json.dumps(request).encode() + b"\n"
        for member in self._members:
            assert member.stdin is not None
            member.stdin.write(line)
        return await asyncio.gather(*(_answer(member) for member in self._members))


@contextlib.asynccontextmanager
async def gathered(platform: Platform, processes: int, users: int, seed: int) -> AsyncIterator[Crowd]:
    """So many processes, ready, with so many users each; they end with the context, or with this process."""
    members = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, str(platform.home.root), str(users), str(seed + number)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        for number in range(processes)
    ]
    try:
        crowd = Crowd(members)
        await crowd.ask({"does": "Wait"})
        yield crowd
    finally:
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                member.kill()
            await member.wait()


async def _answer(member: asyncio.subprocess.Process) -> Answer:
    assert member.stdout is not None
    if not (line := await member.stdout.readline()):
        raise RuntimeError("a process of the crowd has ended: what it said stands above")
    answer: Answer = json.loads(line)
    return answer


async def respond(working: Load, platform: Platform, request: Request) -> Answer:
    """What one process does for a request."""
    first = len(working.calls)
    match request:
        case {"does": "Saturate", "callers": callers, "seconds": seconds}:
            await working.saturate(callers, seconds)
        case {"does": "Arrive", "rate": rate, "seconds": seconds}:
            await working.arrive(rate, seconds, at_random=True)
        case {"does": "Reckon"}:
            return await _reckon(working, platform)
    calls = working.calls[first:]
    return {"calls": [(one.kind, one.writes, one.arrived, one.ended, one.error, one.began) for one in calls]}


async def _reckon(working: Load, platform: Platform) -> Answer:
    # By a client that comes again when told to: many read back at once, after a crowd has just left.
    async with client_from(platform, zone=0) as client:
        readers = [person.caught_up(client.user(person.name)) for person in working.people]
        there = await what_is_there(readers, working.journal)
    findings = checker.check(working.journal, there)
    return {
        "acknowledged": sum(call.ok for call in working.calls),
        "findings": [(one.damage.value, str(one.id), one.detail) for one in findings],
    }


def _step_forward() -> None:
    """Goes before what it measures, where it may: callers have machines of their own.

    The kernel shares processor time among sessions first, and the platform has one for each process.
    """
    with contextlib.suppress(OSError):
        os.nice(_FORWARD)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_FORWARD), "ascii")


async def _serve(home: Path, users: int, seed: int) -> None:
    """Until nobody asks any more."""
    platform = Platform(Home(home))
    async with load(platform, Traffic(users=users, mix=_MIX), seed, retry=NO_RETRY) as working:
        while line := await asyncio.to_thread(sys.stdin.readline):
            answer = json.dumps(await respond(working, platform, json.loads(line)))
            print(answer, flush=True)  # noqa: T201


if __name__ == "__main__":
    root, users, seed = sys.argv[1:]
    _step_forward()
    process.run(_serve(Path(root), int(users), int(seed)))
