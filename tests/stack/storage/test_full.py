"""A disk without room: nothing is acknowledged that is not there, and it goes on when there is room again."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ops.local.postgres import DATABASE
from services.runtime.errors import ReverieError, StoreDown, StoreFull, UnknownOutcome
from services.storage.database import Address, Database
from tests.stack.servers import Server, scratch, started, until
from tests.stack.storage.harness import Operation, Storage, create, memory

SIZE_MIB = 160
ROOM = 1_000_000
"""Bytes that are left when the writes begin."""


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, which takes root to mount."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    with scratch() as home:
        options = ["-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(home)]
        if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
            pytest.skip("this system does not let root mount a file system")
        try:
            yield home
        finally:
            subprocess.run(["umount", str(home)], check=True)


@pytest_asyncio.fixture
async def small_server(small_disk: Path) -> AsyncIterator[Server]:
    server = await started(small_disk)
    yield server
    server.stop()
    for file in (small_disk / "log", small_disk / "filler"):
        file.unlink(missing_ok=True)


async def test_a_full_disk_costs_no_acknowledged_write(small_server: Server) -> None:
    address = Address(small_server.socket, DATABASE, small_server.secrets)
    async with Database.opened(address) as database:
        storage = Storage(database)
        filler = small_server.home / "filler"
        acknowledged: list[Operation] = []
        # A whole segment of the log to write in: it is the tables that are to run out of room.
        await small_server.execute("SELECT pg_switch_wal()")
        await storage.written(create("ana"))
        fill(filler)
        error = await written_until_it_fails(storage, acknowledged)
        assert isinstance(error, StoreFull)
        filler.unlink()

        async def works_again() -> bool:
            try:
                await storage.written(create("ana"))
            except (StoreDown, StoreFull, UnknownOutcome):
                return False
            return True

        await until(works_again, "writes are taken again")
        rows = await storage.sql("SELECT id FROM memories")
    assert {one.id for one in acknowledged} <= {row[0] for row in rows}


def fill(filler: Path) -> None:
    """Leaves room for some writes, not for many."""
    disk = os.statvfs(filler.parent)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - ROOM)


async def written_until_it_fails(storage: Storage, acknowledged: list[Operation]) -> ReverieError:
    for _ in range(2_000):
        some = [create("ana", memory("x" * 20_000 + os.urandom(8).hex())) for _ in range(4)]
        some.append(create("ben", memory(os.urandom(9_000).hex())))
        try:
            await storage.written(*some)
        except ReverieError as error:
            return error
        acknowledged += some
    pytest.fail("the disk never filled")
