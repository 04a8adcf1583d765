"""Supervisors of stand-ins."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from ops.local import leftovers
from ops.local.home import Home
from tests.stack.platform.supervised import Start


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "h")
    home.create()
    return home


@pytest_asyncio.fixture
async def start(home: Home) -> AsyncIterator[Start]:
    """Starts a supervisor of stand-ins; whatever it leaves is ended afterwards."""
    started: list[subprocess.Popen[str]] = []

    def starts(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stack.platform.standin", str(home.root), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        started.append(process)
        return process

    yield starts
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    await leftovers.end(home, timedelta(seconds=1))
