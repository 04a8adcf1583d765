"""Workers over real servers: storage's queue behind gRPC on PostgreSQL, and Valkey."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from redis.asyncio.cluster import RedisCluster

from ops.local.valkey import Valkey
from ops.local.valkey_cluster import HOST, Place
from reverie.storage.v1 import analysis_pb2_grpc
from services.runtime.admission import Admission
from services.runtime.interceptors import CallNumbers, Guard
from services.runtime.valkey import close, connect
from services.storage.analysis import Patience
from services.storage.database import Database
from tests.stack.servers import free_port, until
from tests.stack.storage.harness import Storage

PATIENCE = Patience(
    max_attempts=3, first_backoff=timedelta(milliseconds=1), overdue=timedelta(milliseconds=50)
)


class ValkeyServer:
    """A running Valkey."""

    def __init__(self, home: Path) -> None:
        place = Place("valkey-a-0", "a", free_port(), free_port())
        self.valkey = Valkey(place, [place], home / "data", home / "secrets")
        self._process: subprocess.Popen[bytes] | None = None

    def client(self) -> "RedisCluster":
        return connect(f"{HOST}:{self.valkey.place.port}", self.valkey.password_file)

    async def start(self) -> None:
        self._spawn()
        await until(self.valkey.ready, "Valkey takes commands")

    def _spawn(self) -> None:
        self.valkey.prepare()
        self._process = subprocess.Popen(
            self.valkey.command(), env=self.valkey.environment(), stdout=subprocess.DEVNULL
        )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)


@pytest_asyncio.fixture(scope="session")
async def valkey_server() -> AsyncIterator[ValkeyServer]:
    """The Valkey that tests share. A test that kills it starts it again."""
    home = Path(tempfile.mkdtemp(prefix="reverie-vk-"))
    server = ValkeyServer(home)
    await server.start()
    yield server
    server.kill()
    shutil.rmtree(home)


@pytest_asyncio.fixture
async def valkey(valkey_server: ValkeyServer) -> "AsyncIterator[RedisCluster]":
    """A client of an empty Valkey."""
    client = valkey_server.client()
    await client.flushall()
    yield client
    await close(client)


@pytest.fixture
def storage(database: Database) -> Storage:
    """Storage whose patience with failing analyses is short."""
    return Storage(database, PATIENCE)


@pytest_asyncio.fixture
async def socket(storage: Storage) -> AsyncIterator[Path]:
    """Where storage serves its queue."""
    home = Path(tempfile.mkdtemp(prefix="reverie-q-"))
    server = grpc.aio.server()
    guard = Guard(server, None, lambda _api: Admission(1_000), CallNumbers())
    analysis_pb2_grpc.add_StorageAnalysisServiceServicer_to_server(  # type: ignore[no-untyped-call]
        storage.analysis, guard
    )
    server.add_insecure_port(f"unix:{home / 'app.sock'}")
    await server.start()
    yield home / "app.sock"
    await server.stop(None)
    await asyncio.to_thread(shutil.rmtree, home)
