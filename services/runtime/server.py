"""The life of a service process: listen, become ready, serve, drain, stop."""

import asyncio
import math
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.catalog import Api, Audience
from services.runtime import telemetry
from services.runtime.admission import Admission
from services.runtime.client import SERVER_OPTIONS
from services.runtime.config import ServiceConfig
from services.runtime.health import Health, HealthService
from services.runtime.interceptors import CallNumbers, Guard
from services.runtime.principal import Verifier
from services.runtime.telemetry import Metric

_HEALTH = "grpc.health.v1.Health"
_log = structlog.get_logger("server")

Hook = Callable[[], Awaitable[None]]


@asynccontextmanager
async def beside(work: Hook, stop: asyncio.Event) -> AsyncIterator[None]:
    """Work that goes on beside what is inside, and is cancelled at its end.

    If it ends by itself, a fault, that is logged, `stop` is set, and the process exits with 1 in the end.
    """

    def ended(task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            _log.error("work that should go on has ended", exc_info=task.exception())
            stop.set()

    task = asyncio.ensure_future(work())
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        sys.exit(1)


async def serve(
    config: ServiceConfig,
    register: Callable[[grpc.aio.Server], Sequence[str]],
    *,
    ready: Hook | None = None,
    before_stop: Hook | None = None,
    limits: Mapping[str, int] | None = None,
    metrics: Sequence[Metric] = (),
    stop: asyncio.Event | None = None,
) -> None:
    """Serves on `config.app_socket` until SIGTERM or SIGINT (or `stop` is set), then drains and returns.

    `register` adds the services to the server that it is given, and names them; the catalog must list them.
    `ready` ends when everything that the service needs is there: until then its health is NOT_SERVING.
    `before_stop` runs when no more calls are wanted, with those under way still going on.
    `limits`: calls under way at a time, by API; others have `config.concurrency`. Those of operators may
    have waited for any time, others for `config.queue_seconds`.
    `metrics`: what is exposed on `stats.sock`, beside the application's socket, besides the calls' own.
    """
    server = grpc.aio.server(options=SERVER_OPTIONS)
    numbers = CallNumbers()
    health = _prepare(server, config, register, limits or {}, numbers)
    stopping = stop or asyncio.Event()
    _on_signals(stopping)
    server.add_insecure_port(f"unix:{config.app_socket}")
    await server.start()
    stats = await telemetry.expose(
        config.app_socket.with_name("stats.sock"), lambda: (*numbers.metrics, *metrics)
    )
    _log.info("listening", instance=config.instance)
    try:
        await _until_ready(ready, stopping)
        if not stopping.is_set():
            health.serving()
            _log.info("serving", instance=config.instance)
        await stopping.wait()
    finally:
        await _drain(server, health, config, before_stop)
        stats.close()


def _prepare(
    server: grpc.aio.Server,
    config: ServiceConfig,
    register: Callable[[grpc.aio.Server], Sequence[str]],
    limits: Mapping[str, int],
    numbers: CallNumbers,
) -> Health:
    verifier = Verifier(config.jwt_keys) if config.jwt_keys else None
    guard = Guard(server, verifier, lambda api: _admission(api, config, limits), numbers)
    # The generated code asks for a server and uses two methods of it: those that the guard has.
    services = tuple(register(cast("grpc.aio.Server", guard)))
    health = Health(services)
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(health), server)
    reflection.enable_server_reflection((*services, _HEALTH, reflection.SERVICE_NAME), server)
    return health


def _admission(api: Api, config: ServiceConfig, limits: Mapping[str, int]) -> Admission:
    patience = math.inf if api.audience is Audience.OPERATOR else config.queue_seconds
    return Admission(limits.get(api.name, config.concurrency), patience)


def _on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)


async def _until_ready(ready: Hook | None, stopping: asyncio.Event) -> None:
    """Returns when the service is ready or shall stop; raises what `ready` raised."""
    if ready is None:
        return
    work = asyncio.ensure_future(ready())
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if work.done():
        work.result()
    else:
        work.cancel()


async def _drain(
    server: grpc.aio.Server, health: Health, config: ServiceConfig, before_stop: Hook | None
) -> None:
    health.draining()
    _log.info("draining", instance=config.instance)
    # The proxies still send calls until they have seen the health check fail.
    await asyncio.sleep(config.drain_grace_seconds)
    if before_stop is not None:
        await before_stop()
    health.stopped()
    await server.stop(config.stop_grace_seconds)
    _log.info("stopped", instance=config.instance)
