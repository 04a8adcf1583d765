"""The local PostgreSQL server itself: how it starts, who gets in, how it ends."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.stack.servers import Server, scratch, until

# What stands for a supervisor: starts the server and says so.
SUPERVISOR = """
import subprocess, sys, time
from pathlib import Path
from ops.local.postgres import Postgres
home = Path(sys.argv[1])
postgres = Postgres(home / "data" / "postgres", home / "run", home / "secrets")
postgres.prepare()
process = subprocess.Popen(postgres.command(), env=postgres.environment())
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    with scratch() as home:
        yield home


@pytest.fixture
def supervisor(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", SUPERVISOR, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


async def test_a_supervisor_killed_with_9_leaves_no_server(
    home: Path, supervisor: "subprocess.Popen[bytes]"
) -> None:
    assert supervisor.stdout is not None
    server = psutil.Process(int(supervisor.stdout.readline()))
    lock = home / "data" / "postgres" / "postmaster.pid"

    async def runs() -> bool:
        return lock.exists() and "ready" in lock.read_text()

    async def ended() -> bool:
        return not server.is_running() or server.status() == psutil.STATUS_ZOMBIE

    await until(runs, "the server runs")
    supervisor.kill()
    supervisor.wait()
    await until(ended, "the server ends")
    assert not lock.exists(), "it ended in order"


async def test_preparing_again_keeps_passwords_and_data(postgres: Server) -> None:
    before = {file.name: file.read_bytes() for file in postgres.secrets.iterdir()}
    postgres.postgres.prepare()
    await postgres.postgres.ensure()
    assert {file.name: file.read_bytes() for file in postgres.secrets.iterdir()} == before


def test_secrets_and_sockets_are_the_owners_alone(postgres: Server) -> None:
    directories = (postgres.secrets, postgres.socket, postgres.home / "data" / "postgres")
    assert {path.stat().st_mode & 0o777 for path in directories} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in postgres.secrets.iterdir()} == {0o600}


async def test_nobody_gets_in_without_the_password(postgres: Server) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host=str(postgres.socket), user="reverie_read", password="guess", database="reverie"
        )


async def test_a_role_gets_the_password_of_its_file(postgres: Server) -> None:
    file = postgres.secrets / "admin"
    old = file.read_text()
    file.write_text("another-password\n")
    await postgres.postgres.ensure()
    await (await postgres.connect("admin", "reverie")).close()
    file.write_text(old)
    await postgres.postgres.ensure()
    await (await postgres.connect("admin", "reverie")).close()


async def test_the_database_listens_on_no_port_and_checks_its_pages(postgres: Server) -> None:
    connection = await postgres.connect()
    try:
        assert await connection.fetchval("SHOW listen_addresses") == ""
        assert await connection.fetchval("SHOW data_checksums") == "on"
        assert await connection.fetchval("SHOW fsync") == "on"
    finally:
        await connection.close()
