"""A supervisor of processes that only pretend: `python standin.py HOME NAME[=BEHAVIOUR] ...`.

Behaviours: `well` (ready at once), `crashes`, `deaf` (ignores SIGTERM), `shy` (never ready), `breakable`
(ends while there is a file `broken`), `forkserver` (the real one), `module` (that which the fork server has
loaded; ready at once). Each depends on the one before it.
"""

import asyncio
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from ops.local import forkserver, plan
from ops.local.home import Endpoint, Home
from ops.local.operate import StartError
from ops.local.probes import ForkServerAnswers
from ops.local.process import Probe, ProcessSpec, RestartPolicy
from ops.local.session import Session

MODULE = "tests.stack.platform.pretender"
PROGRAMS = {
    "well": "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)",
    "crashes": "import sys; sys.exit('it is broken')",
    "deaf": "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)",
    "shy": "import time; time.sleep(600)",
    "breakable": "import pathlib, sys, time; flag = pathlib.Path(sys.argv[1])\n"
    "if (flag.parent / 'broken').exists(): sys.exit(1)\n"
    "flag.touch(); time.sleep(600)",
}


def standins(home: Home, arguments: list[str]) -> tuple[ProcessSpec, ...]:
    found: list[ProcessSpec] = []
    for argument in arguments:
        name, _, behaviour = argument.partition("=")
        flag = home.run / f"{name}.flag"
        spec = ProcessSpec(
            name=name,
            argv=(sys.executable, "-I", "-S", "-c", PROGRAMS.get(behaviour or "well", ""), str(flag)),
            prepare=lambda flag=flag: flag.unlink(missing_ok=True),  # type: ignore[misc]
            probe=_touched(flag),
            depends_on=tuple(spec.name for spec in found[-1:]),
            start_within=timedelta(seconds=1),
            grace=timedelta(seconds=0.5),
            restart=RestartPolicy(attempts=2),
        )
        found.append(_as(behaviour, spec, home, flag))
    return tuple(found)


def _as(behaviour: str, spec: ProcessSpec, home: Home, flag: Path) -> ProcessSpec:
    python, within = (sys.executable, "-m"), timedelta(seconds=20)  # nothing is said of how long it takes
    if behaviour == "forkserver":
        socket = plan.fork_socket(home)
        socket.parent.mkdir(exist_ok=True)
        spec = replace(
            spec, argv=(*python, forkserver.__name__, str(socket), MODULE), probe=ForkServerAnswers(socket)
        )
        return replace(spec, env=forkserver.ENVIRONMENT, start_within=within)
    if behaviour == "module":
        spec = replace(spec, argv=(*python, MODULE), module=MODULE, env={"FLAG": str(flag)})
        return replace(spec, directory=home.run, start_within=within)
    return spec


def _touched(flag: Path) -> Probe:
    async def probe() -> bool:
        return await asyncio.to_thread(flag.exists)

    return probe


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(root: str, *arguments: str) -> None:
    home = Home(Path(root))
    home.create()
    specs = standins(home, list(arguments))

    async def gate() -> str:
        return ""

    endpoint = Endpoint((), (), home.pki / "ca.pem", uuid4())
    with home.lock():
        session = Session(home, specs, gate, endpoint, environ=os.environ, report=say)
        last = await session.run()
    if last.failure:
        raise StartError(last.failure)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
