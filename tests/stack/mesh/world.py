"""A small mesh of real processes: a control plane, an edge, and fake services, each behind its own Envoy."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.bootstrap import bootstrap, command
from mesh.inspection import read
from mesh.topology import Edge, Instance, Topology, dump
from ops.local.pki import KeyPair, ensure_ca, ensure_jwt_keys, ensure_leaf
from reverie.mesh.v1 import mesh_pb2, mesh_pb2_grpc
from services.runtime.client import SERVER_OPTIONS
from services.runtime.errors import ReverieError
from services.runtime.health import Health, HealthService
from services.runtime.interceptors import refuse
from tests.stack.servers import free_port

ROOT = Path(__file__).parents[3]
DEADLINE = 30.0

Metadata = tuple[tuple[str, str], ...]


async def eventually(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = DEADLINE) -> None:
    """Wait until something holds; fail with `what` if it takes longer than so many seconds."""
    until = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


class FakeService(grpc.GenericRpcHandler):
    """Serves every method: answers with its own id, the path and the metadata that it got, as JSON.

    Methods `Flow` and `Stand` stream: their id, then each message again. They read on while `reading` is set.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.calls = 0
        self.seen: list[dict[str, str | bytes]] = []
        """The metadata of every call."""
        self.refusals: list[grpc.StatusCode] = []
        """Statuses for the next calls, in this order."""
        self.failure: ReverieError | None = None
        """What every call meets, as services tell it."""
        self.delay = 0.0
        self.thawed = asyncio.Event()
        """Cleared: it answers nothing, and no question about its health either, but keeps its connections."""
        self.thawed.set()
        self.reading = asyncio.Event()
        self.reading.set()
        self.health = Health()
        self._server: grpc.aio.Server | None = None

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if details.method.startswith("/grpc."):
            return None
        path, metadata = details.method, dict(details.invocation_metadata)
        if path.endswith(("/Flow", "/Stand")):
            return grpc.stream_stream_rpc_method_handler(self._flow)

        async def answer(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            self.calls += 1
            self.seen.append(metadata)
            await self.thawed.wait()
            await asyncio.sleep(self.delay)
            if self.refusals:
                await context.abort(self.refusals.pop(0), "as told")
            if self.failure is not None:
                await refuse(context, self.failure)
            return json.dumps({"instance": self.instance.id, "path": path, "metadata": metadata}).encode()

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _flow(
        self, requests: AsyncIterator[bytes], _context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        self.calls += 1
        yield self.instance.id.encode()
        await self.reading.wait()
        async for request in requests:
            yield request
            await self.reading.wait()

    @property
    def is_running(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        self.health = Health()
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        health_pb2_grpc.add_HealthServicer_to_server(_Health(self), self._server)
        self._server.add_insecure_port(f"unix:{self.instance.app_socket}")
        await self._server.start()
        self.health.serving()

    async def stop(self, grace: float | None) -> None:
        """With a grace: says goodbye, lets calls end. Without: cuts everything off."""
        server, self._server = self._server, None
        if server is None:
            return
        if grace:
            self.health.draining()
            await asyncio.sleep(0.3)
        self.health.stopped()
        await server.stop(grace)


class _Health(HealthService):
    def __init__(self, service: FakeService) -> None:
        super().__init__(service.health)
        self._thawed = service.thawed

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        await self._thawed.wait()
        return await super().Check(request, context)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        await self._thawed.wait()
        async for response in super().Watch(request, context):
            yield response


class World:
    """Everything under one directory; what is started is stopped by `close`."""

    def __init__(self, home: Path, plane: str = "tests.stack.mesh.plane") -> None:
        self.home = home
        self.plane = plane
        """The module that is run as the control plane."""
        self.mesh_socket = home / "mesh.sock"
        self.topology_path = home / "topology.json"
        self.ca = ensure_ca(home / "pki")
        self.jwt = ensure_jwt_keys(home / "secrets")
        self.topology = Topology((), (), self.ca.certificate, self.jwt.jwks)
        self.services: dict[str, FakeService] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # --- processes ---

    def start(self, name: str, arguments: list[str], **environment: str) -> None:
        paths = os.pathsep.join((str(ROOT), str(ROOT / "protos")))
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": paths, **environment},
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE)

    async def start_plane(self) -> None:
        environment = {
            "REVERIE_MESH_SOCKET": str(self.mesh_socket),
            "REVERIE_TOPOLOGY": str(self.topology_path),
            "REVERIE_CORES": "2",
        }
        self.start("mesh", [sys.executable, "-m", self.plane], **environment)

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(encoding="utf-8")

    async def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        for service in self.services.values():
            await service.stop(None)

    # --- topology ---

    def publish(self, topology: Topology) -> None:
        self.topology = topology
        dump(topology, self.topology_path)

    async def add(self, service: str, zone: str, ordinal: int) -> Instance:
        """A new instance: its process, its proxy, its line in the topology."""
        instance = self.instance(service, zone, ordinal)
        self.services[instance.id] = FakeService(instance)
        await self.services[instance.id].start()
        self.envoy(instance.id, service, zone, instance.admin_socket)
        self.publish(replace(self.topology, instances=(*self.topology.instances, instance)))
        return instance

    @asynccontextmanager
    async def visitor(self, service: str, zone: str, ordinal: int) -> AsyncIterator[Instance]:
        """An instance that is there for a while, and then leaves as it should."""
        instance = await self.add(service, zone, ordinal)
        try:
            yield instance
        finally:
            await self.services[instance.id].stop(grace=1.0)
            await self._remove(instance.id)
            await self.in_sync()

    async def _remove(self, node: str) -> None:
        """Its line in the topology goes, then its proxy; its process has been stopped."""
        kept = tuple(one for one in self.topology.instances if one.id != node)
        self.publish(replace(self.topology, instances=kept))
        await self.endpoints("asker-a-0", "teller", self._tellers())
        self.kill(node)
        del self.services[node]
        shutil.rmtree(self.home / node)

    def _tellers(self) -> int:
        """How many of the topology's tellers take calls."""
        return sum(self.services[one.id].is_running for one in self.topology.of("teller"))

    def instance(self, service: str, zone: str, ordinal: int) -> Instance:
        node = f"{service}-{zone}-{ordinal}"
        directory = self.home / node
        directory.mkdir(mode=0o700)
        # Proxies need no DNS name; a plain gRPC client in a test does.
        pair = ensure_leaf(self.home / "pki", self.ca, service, (service,))
        sockets = (directory / "app.sock", directory / "egress.sock", directory / "admin.sock")
        return Instance(node, service, zone, "127.0.0.1", free_port(), *sockets, pair.certificate, pair.key)

    def add_edge(self, zone: str = "a") -> Edge:
        directory = self.home / f"edge-{zone}-0"
        directory.mkdir(mode=0o700)
        pair = ensure_leaf(self.home / "pki", self.ca, "edge", ("localhost",), ("127.0.0.1",))
        ports = (free_port(), free_port())
        names = (directory.name, zone, "127.0.0.1")
        edge = Edge(*names, *ports, directory / "admin.sock", pair.certificate, pair.key)
        self.envoy(edge.id, "edge", edge.zone, edge.admin_socket)
        self.publish(replace(self.topology, edges=(*self.topology.edges, edge)))
        return edge

    def planes_of(self, _zone: str) -> tuple[Path, ...]:
        """The sockets of the control planes, the nearest first."""
        return (self.mesh_socket,)

    def envoy(self, node: str, service: str, zone: str, admin_socket: Path) -> None:
        path = self.home / node / "bootstrap.json"
        path.write_text(json.dumps(bootstrap(node, service, zone, admin_socket, *self.planes_of(zone))))
        self.start(self.proxy_name(node), command(path))

    def proxy_name(self, node: str) -> str:
        """How a proxy's process is called."""
        return node

    # --- looking and calling ---

    async def proxies(self) -> dict[str, mesh_pb2.Proxy]:
        async with grpc.aio.insecure_channel(f"unix:{self.mesh_socket}") as channel:
            stub = mesh_pb2_grpc.MeshServiceStub(channel)  # type: ignore[no-untyped-call]
            answer = await stub.ListProxies(
                mesh_pb2.ListProxiesRequest(), timeout=DEADLINE, wait_for_ready=True
            )
        return {proxy.node_id: proxy for proxy in answer.proxies}

    def admin_sockets(self) -> dict[str, Path]:
        """Those of every proxy, by node id."""
        instances = {node.id: node.admin_socket for node in self.topology.instances}
        return instances | {node.id: node.admin_socket for node in self.topology.edges}

    async def in_sync(self, seconds: float = DEADLINE) -> None:
        """Wait until every proxy accepted everything that it should have."""

        async def holds() -> bool:
            proxies = await self.proxies()
            return all(
                node in proxies and proxies[node].connected and _is_synced(proxies[node])
                for node in self.admin_sockets()
            )

        await eventually(holds, "every proxy in sync", seconds)

    async def endpoints(self, node: str, cluster: str, number: int, kind: str = "total") -> None:
        """Wait until a proxy knows so many endpoints of a service; of kind "total" or "healthy"."""
        await self.is_gauge(node, f"cluster.{cluster}.membership_{kind}", number)

    async def is_gauge(self, node: str, name: str, number: int) -> None:
        """Wait until one of a proxy's numbers is that."""

        async def holds() -> bool:
            return await self.gauge(node, name) == number

        await eventually(holds, f"{name} is {number} at {node}")

    async def gauge(self, node: str, name: str) -> int | None:
        """One of a proxy's numbers; None if it does not have it."""
        text = await asyncio.to_thread(read, self.home / node / "admin.sock", f"/stats?filter=^{name}$")
        return int(text.split()[1]) if text else None

    def egress(self, node: str) -> grpc.aio.Channel:
        """As the service beside that proxy calls."""
        options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
        return grpc.aio.insecure_channel(f"unix:{self.home / node / 'egress.sock'}", options=options)

    def edge(self, port: int) -> grpc.aio.Channel:
        """As an application calls."""
        root = self.ca.certificate.read_bytes()
        return grpc.aio.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root))

    def direct(self, instance: Instance, caller: str, trusts: KeyPair | None = None) -> grpc.aio.Channel:
        """Straight to an instance's inbound listener, with a certificate of `caller`."""
        # Not among the certificates that the proxies use.
        pair = ensure_leaf(self.home / "callers" / self.ca.certificate.parent.name, self.ca, caller)
        root = (trusts or self.ca).certificate.read_bytes()
        credentials = grpc.ssl_channel_credentials(root, pair.key.read_bytes(), pair.certificate.read_bytes())
        options = (("grpc.ssl_target_name_override", instance.service),)
        return grpc.aio.secure_channel(f"{instance.address}:{instance.port}", credentials, options)

    def bearer(self, **claims: Any) -> Metadata:
        """Metadata with a JWT."""
        body = {
            "iss": "reverie",
            "aud": "reverie",
            "iat": datetime.now(UTC),
            "exp": datetime.now(UTC) + timedelta(minutes=5),
            "tenant": "8d3a5a3e-6f0e-4d44-8a39-3c1f2f6fbb5f",
            "scope": "users:*",
            **claims,
        }
        token = jwt.encode(body, self.jwt.key.read_bytes(), "ES256", headers={"kid": self.jwt.key_id})
        return (("authorization", f"Bearer {token}"),)


def _is_synced(proxy: mesh_pb2.Proxy) -> bool:
    """What it has nothing of it need not ask for."""
    wanted = [kind for kind in proxy.types if kind.wanted]
    return bool(wanted) and all(kind.state == mesh_pb2.SYNC_STATE_SYNCED for kind in wanted)


async def call(
    channel: grpc.aio.Channel, api: str, metadata: Metadata = (), deadline: float = 5.0
) -> dict[str, Any]:
    """One call; what the fake service says of it."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{api}/Do")
    answer = await method(b"", metadata=metadata, timeout=deadline)
    parsed: dict[str, Any] = json.loads(answer)
    return parsed


async def refusal(
    channel: grpc.aio.Channel, api: str, metadata: Metadata = (), deadline: float = 5.0
) -> grpc.aio.AioRpcError:
    """One call that must fail; how it did."""
    try:
        answer = await call(channel, api, metadata, deadline)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"it was answered: {answer}")
