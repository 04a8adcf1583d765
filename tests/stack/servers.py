"""Real servers for tests, and waiting for them."""

import asyncio
import os
import shutil
import signal
import socket as socketlib
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from ops.local.postgres import DATABASE, STOP_SIGNAL, SUPERUSER, Postgres
from services.storage.migrate import migrate

START_SECONDS = 30.0

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, another each time: the kernel may name one twice before it is used."""
    while True:
        with socketlib.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


@dataclass
class Server:
    """A running PostgreSQL server whose database `reverie` is migrated and serves as a template."""

    home: Path
    postgres: Postgres
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.home / "run"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    async def connect(
        self, role: str = SUPERUSER, database: str = "postgres"
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection as the superuser, or as `reverie_{role}`."""
        superuser = role == SUPERUSER
        password = (self.secrets / ("superuser" if superuser else role)).read_text().strip()
        user = SUPERUSER if superuser else f"reverie_{role}"
        return await asyncpg.connect(host=str(self.socket), user=user, password=password, database=database)

    async def execute(self, statement: str, database: str = "postgres") -> None:
        """Runs a statement as the superuser."""
        connection = await self.connect(database=database)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def start(self, *, replica: bool = False) -> None:
        """Starts the server and waits until it takes connections, as what it is meant to be."""
        self._spawn()
        ready = self._answers if replica else self.postgres.ready
        await until(ready, f"PostgreSQL starts (its log: {self.home / 'log'})")

    async def _answers(self) -> bool:
        try:
            await (await self.connect()).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _spawn(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.postgres.command(), env=self.postgres.environment(), stderr=log
            )

    def stop(self) -> None:
        """Stops the server."""
        self.signal(STOP_SIGNAL)

    def kill(self) -> None:
        """Kills the postmaster; its children follow."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Sends the postmaster a signal that ends it, and waits for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(START_SECONDS)


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, seconds: float = START_SECONDS, every: float = 0.02
) -> None:
    """Waits for a condition; fails the test, saying what was awaited, when it takes too long."""
    async with asyncio.timeout(seconds) as limit:
        try:
            while not await condition():  # noqa: ASYNC110  (what happens elsewhere sets no event here)
                await asyncio.sleep(every)
        except asyncio.CancelledError:
            if limit.expired():
                pytest.fail(f"not within {seconds} s: {what}")
            raise


@contextmanager
def scratch(prefix: str = "reverie-") -> Iterator[Path]:
    """A directory for a while: in memory where there is such a place, as tests would mostly wait for syncs.

    Its path is short, because a socket's has at most 107 bytes.
    """
    memory = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield home
    finally:
        shutil.rmtree(home)


async def started(home: Path) -> Server:
    """A new server below `home`, its database migrated. The caller stops it."""
    postgres = Postgres(home / "data" / "postgres", home / "run", home / "secrets")
    postgres.prepare()
    server = Server(home, postgres)
    await server.start()
    await postgres.ensure()
    connection = await server.connect("migrate", DATABASE)
    await migrate(connection)
    await connection.close()
    return server
