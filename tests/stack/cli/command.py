"""Types commands and reads what they print."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TYPED = """
import signal
from ops.cli.main import run
# As in a terminal: whoever starts tests in the background has Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
run()
"""
_PROGRAM = (sys.executable, "-c", _TYPED)
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Printed:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What it printed, all of which has to be JSON."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Command:
    """`reverie`, for one home."""

    home: Path

    async def __call__(self, *arguments: str, **environment: str) -> Printed:
        """Types a command and waits for its end."""
        process = await self.start(*arguments, environment=environment)
        try:
            stdout, stderr = await asyncio.wait_for(process.communicate(), timeout=90)
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode is not None
        return Printed(process.returncode, stdout.decode(), stderr.decode())

    async def json(self, *arguments: str, **environment: str) -> Any:
        """What a command that succeeds prints with `-o json`."""
        printed = await self(*arguments, "-o", "json", **environment)
        assert printed.code == 0, printed
        return printed.json

    async def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        """Types a command and leaves it running."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("REVERIE_")}
        return await asyncio.create_subprocess_exec(
            *_PROGRAM,
            *arguments,
            cwd=_ROOT,
            env={**clean, "REVERIE_HOME": str(self.home), "TZ": "UTC", **(environment or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
