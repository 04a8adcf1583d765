"""`python -m services.storage`: one storage process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import SystemRandom

import grpc

from reverie.echo.v1 import echo_pb2, echo_pb2_grpc
from reverie.storage.v1 import (
    admin_pb2_grpc,
    analysis_pb2_grpc,
    read_pb2_grpc,
    search_pb2_grpc,
    write_pb2_grpc,
)
from services.runtime import process, server
from services.runtime.echo import Echo
from services.runtime.telemetry import Metric, configure_logging
from services.runtime.tokens import Keyring, Tokens
from services.runtime.valkey import close, connect
from services.storage.admin import AdminService
from services.storage.analysis import AnalysisService, Patience
from services.storage.config import StorageConfig
from services.storage.database import Database
from services.storage.hints import HintStream, Sweeper
from services.storage.read import ReadService
from services.storage.search import SearchService
from services.storage.segments import SegmentCache, Segments
from services.storage.upkeep import Upkeep
from services.storage.write import Hints, NoHints, WriteService

SERVICES = (
    "reverie.storage.v1.StorageReadService",
    "reverie.storage.v1.StorageSearchService",
    "reverie.storage.v1.StorageWriteService",
    "reverie.storage.v1.StorageAnalysisService",
    "reverie.storage.v1.StorageAdminService",
    "reverie.echo.v1.EchoService",
)


async def main() -> None:
    """Serves until SIGTERM, and ends when every write under way is answered."""
    config = StorageConfig()  # type: ignore[call-arg]  # the environment has them
    configure_logging(config.log_level)
    tokens = Tokens(Keyring.load(config.token_keys))
    segments = SegmentCache(config.segment_mib * 1024 * 1024)
    patience = Patience(max_attempts=config.max_attempts)
    stop = asyncio.Event()
    async with Database.opened(config.address, config.pool_sizes) as database:
        analysis = AnalysisService(database.analysis, patience, SystemRandom())
        upkeep = Upkeep(database.admin)
        async with _hints(config, analysis, stop) as hints, server.beside(upkeep.run, stop):
            reads = ReadService(database.read, tokens)
            # A search holds its snapshot while it asks once more: for that it needs the other pool.
            searches = SearchService(database.read, Segments(database.search, segments), tokens)
            writes = WriteService(database.write, database.bulk, hints)
            admin = AdminService(database.admin, tokens, hints, segments)
            await server.serve(
                config,
                lambda to: _register(to, reads, searches, writes, analysis, admin),
                ready=upkeep.ready,
                metrics=(segments.bytes, segments.evicted, *_counted(hints)),
                stop=stop,
            )
            await writes.finished()


def _register(
    to: grpc.aio.Server,
    reads: ReadService,
    searches: SearchService,
    writes: WriteService,
    analysis: AnalysisService,
    admin: AdminService,
) -> tuple[str, ...]:
    echo = Echo(lambda payload: echo_pb2.EchoResponse(payload=payload))
    registrations: tuple[tuple[Callable[..., None], object], ...] = (
        (read_pb2_grpc.add_StorageReadServiceServicer_to_server, reads),
        (search_pb2_grpc.add_StorageSearchServiceServicer_to_server, searches),
        (write_pb2_grpc.add_StorageWriteServiceServicer_to_server, writes),
        (analysis_pb2_grpc.add_StorageAnalysisServiceServicer_to_server, analysis),
        (admin_pb2_grpc.add_StorageAdminServiceServicer_to_server, admin),
        (echo_pb2_grpc.add_EchoServiceServicer_to_server, echo),
    )
    for add, service in registrations:
        add(service, to)
    return SERVICES


@asynccontextmanager
async def _hints(
    config: StorageConfig, analysis: AnalysisService, stop: asyncio.Event
) -> AsyncIterator[Hints]:
    """Hints by way of Valkey, with a sweeper behind them; none without Valkey."""
    if config.valkey_nodes is None:
        yield NoHints()
        return
    valkey = connect(config.valkey_nodes, config.valkey_password_file)
    stream = HintStream(valkey)
    sweeper = Sweeper(analysis.overdue, stream, valkey, instance=config.instance)
    async with server.beside(stream.run, stop), server.beside(sweeper.run, stop):
        yield stream
    await close(valkey)


def _counted(hints: Hints) -> tuple[Metric, ...]:
    return (hints.sent, hints.dropped) if isinstance(hints, HintStream) else ()


if __name__ == "__main__":
    process.run(main())
