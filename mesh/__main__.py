"""The control plane's process: `python -m mesh`."""

import asyncio
import signal

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mesh import messages, topology
from mesh.cache import Cache
from mesh.config import MeshConfig
from mesh.discovery import Discovery
from mesh.resources.crowd import Room
from mesh.server import DeltaAds, MeshService
from mesh.snapshot import Builder
from reverie.mesh.v1 import mesh_pb2, mesh_pb2_grpc
from services.catalog import SERVICES, Table
from services.runtime.health import Health, HealthService
from services.runtime.process import run
from services.runtime.telemetry import configure_logging

_MESH = mesh_pb2.DESCRIPTOR.services_by_name["MeshService"].full_name
_HEALTH = "grpc.health.v1.Health"
_STOP_GRACE_SECONDS = 0.2
# Proxies ping to notice when we hang; by default gRPC takes that for an attack.
_OPTIONS = (("grpc.http2.max_ping_strikes", 0), ("grpc.so_reuseport", 0))


def prepare(table: Table = SERVICES) -> None:
    """Do what every control plane would do at its start, for those that are copied from this process.

    To work out how classes of messages check their values takes four fifths of the first snapshots' time.
    """
    messages.remember()
    Builder(table).build(topology.example(table), "", {})


async def main(config: MeshConfig, table: Table = SERVICES) -> None:
    """Serve until SIGTERM or SIGINT. Proxies then go on with what they have."""
    messages.remember()
    cache, health, stopping = Cache(), Health((_MESH,)), asyncio.Event()
    discovery = Discovery(config.topology, Builder(table, Room.on(config.cores)), cache)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((DeltaAds(cache).handler(),))
    mesh_pb2_grpc.add_MeshServiceServicer_to_server(MeshService(cache), server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(health), server)
    reflection.enable_server_reflection((_MESH, _HEALTH, reflection.SERVICE_NAME), server)
    server.add_insecure_port(f"unix:{config.mesh_socket}")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.start()
    await _until(stopping, discovery, health)
    health.stopped()
    await server.stop(_STOP_GRACE_SECONDS)


async def _until(stopping: asyncio.Event, discovery: Discovery, health: Health) -> None:
    """Watch and publish until told to stop. Raises what makes watching end by itself."""
    watching = asyncio.ensure_future(discovery.run())
    announcing = asyncio.ensure_future(_announce(discovery, health))
    told = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({watching, told}, return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        watching.result()
    watching.cancel()
    announcing.cancel()


async def _announce(discovery: Discovery, health: Health) -> None:
    await discovery.published.wait()
    health.serving()


if __name__ == "__main__":
    settings = MeshConfig()  # type: ignore[call-arg]
    configure_logging(settings.log_level)
    run(main(settings))
