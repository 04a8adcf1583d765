"""The supervisor as a process of its own: `python -m ops.local --home DIRECTORY`. `reverie up` starts it."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.local.embedders import Embedder
from ops.local.home import Home, HomeError
from ops.local.operate import StartError, operate
from ops.local.plan import Options
from ops.local.ports import PortTakenError


def main(arguments: Sequence[str]) -> int:
    """Run until asked to stop. 0: it was; 1: it did not start, and stderr says why."""
    parser = argparse.ArgumentParser(prog="python -m ops.local")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--operator-port", type=int)
    parser.add_argument("--embedder", choices=[each.value for each in Embedder], default=Embedder.MINILM)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--zones", type=int)
    parser.add_argument("--leash", action="store_true", help="when stdin ends: stop, and remove the home")
    given = parser.parse_args(arguments)
    options = Options(given.port, given.operator_port, given.embedder, given.lanes, given.zones)
    home = Home(given.home)
    leash = Leash() if given.leash else None
    try:
        asyncio.run(_run(home, options, leash))
    except (HomeError, PortTakenError, StartError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except asyncio.CancelledError:
        return 0
    finally:
        if leash and leash.slipped:
            home.remove()
    return 0


async def _run(home: Home, options: Options, leash: "Leash | None") -> None:
    this = asyncio.current_task()
    assert this is not None
    # Until there is a session, which stops in order, nothing runs yet that would have to.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    if leash:
        leash.watch()
    await operate(home, options, environ=os.environ, report=_say)


class Leash:
    """Notices when whoever holds the other end of stdin is gone: nobody else would stop this platform."""

    def __init__(self) -> None:
        self.slipped = False

    def watch(self) -> None:
        """From now on, stop when that happens."""
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._look)

    def _look(self) -> None:
        if not os.read(sys.stdin.fileno(), 1):
            self.slipped = True
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            os.kill(os.getpid(), signal.SIGTERM)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
