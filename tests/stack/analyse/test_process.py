"""A real worker process: killed between work and attach, and stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio

from reverie.storage.v1 import analysis_pb2, analysis_pb2_grpc
from services.runtime.client import connect
from services.storage.client import StorageAnalysisClient
from tests.stack.analyse.workers import Instant, all_analysed, holds, vectors, working
from tests.stack.servers import until
from tests.stack.storage.harness import Storage, create, memory

SECONDS = 60.0


class Between(analysis_pb2_grpc.StorageAnalysisServiceServicer):
    """Stands between a worker and storage; may keep results from arriving."""

    def __init__(self, storage: StorageAnalysisClient) -> None:
        self._storage = storage
        self.held = 0
        self.hold = True

    async def ClaimDue(  # noqa: N802
        self, request: analysis_pb2.ClaimDueRequest, _context: object
    ) -> analysis_pb2.ClaimDueResponse:
        request.lease.FromMilliseconds(1)
        return await self._storage.claim_due(request, 5)

    async def AttachResults(  # noqa: N802
        self, request: analysis_pb2.AttachResultsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> analysis_pb2.AttachResultsResponse:
        if not self.hold:
            return await self._storage.attach_results(request, 5)
        self.held += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "held")
        raise AssertionError


class Process:
    """A worker process."""

    def __init__(self, home: Path, egress: Path) -> None:
        self._home, self._egress = home, egress
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "REVERIE_INSTANCE": "analyse-a-0",
            "REVERIE_ZONE": "a",
            "REVERIE_APP_SOCKET": str(self._home / "worker.sock"),
            "REVERIE_EGRESS_SOCKET": str(self._egress),
            "REVERIE_DRAIN_GRACE_SECONDS": "0",
            "REVERIE_POLL_SECONDS": "0.05",
        }
        command = [sys.executable, "-m", "services.analyse"]
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(SECONDS)


@pytest_asyncio.fixture
async def between(socket: Path) -> AsyncIterator[tuple[Between, Path]]:
    """What stands between, and where it listens."""
    async with connect(socket) as channel:
        between = Between(StorageAnalysisClient(channel))
        server = grpc.aio.server()
        analysis_pb2_grpc.add_StorageAnalysisServiceServicer_to_server(between, server)  # type: ignore[no-untyped-call]
        path = socket.with_name("between.sock")
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        yield between, path
        await server.stop(None)


async def test_a_worker_killed_between_work_and_attach_leaves_its_work_to_the_next(
    storage: Storage, socket: Path, between: tuple[Between, Path]
) -> None:
    held, path = between
    await storage.written(*(create("ana", memory(f"note number {n}")) for n in range(3)))
    process = Process(socket.parent, path)
    process.start()
    try:
        await until(holds(lambda: held.held > 0), "the worker has results", SECONDS)
    finally:
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
    assert await vectors(storage) == 0
    async with working(socket, Instant()):
        await all_analysed(storage)
    assert await vectors(storage) == 3


async def test_a_worker_embeds_and_ends_well(
    storage: Storage, socket: Path, between: tuple[Between, Path]
) -> None:
    straight, path = between
    straight.hold = False
    await storage.written(create("ana", memory("I adopted a cat.")))
    process = Process(socket.parent, path)
    process.start()
    try:
        await all_analysed(storage)
    finally:
        assert process.end(signal.SIGTERM) == 0
    assert await vectors(storage) == 1
