"""Three zones, each with an edge, an asker and a teller as processes of their own, and two control planes."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import grpc

from mesh.inspection import proxies
from ops.local.draining import EdgeDrained
from ops.local.probes import EnvoyLive
from reverie.echo.v1 import echo_pb2
from reverie.mesh.v1 import mesh_pb2
from reverie_client import Reverie, connect
from reverie_client.errors import ReverieError
from reverie_client.methods import Method
from tests.stack.mesh.table import ASK
from tests.stack.mesh.world import World, eventually

ZONES = "abc"
PLANES = "ab"
WITHIN = timedelta(seconds=10)
ASKED = Method(f"/{ASK}/Do", echo_pb2.EchoRequest, echo_pb2.EchoResponse)


class Zones(World):
    """Processes are named `teller-a-0`, `teller-a-0.proxy`, `edge-a-0`, `mesh-a-0`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, "tests.stack.mesh.plane")
        self.started: dict[str, tuple[list[str], dict[str, str]]] = {}

    # --- processes ---

    def start(self, name: str, arguments: list[str], **environment: str) -> None:
        self.started[name] = (arguments, environment)
        super().start(name, arguments, **environment)

    async def start_all(self) -> None:
        for zone in PLANES:
            environment = {
                "REVERIE_MESH_SOCKET": str(self.plane_socket(zone)),
                "REVERIE_TOPOLOGY": str(self.topology_path),
                "REVERIE_CORES": "2",
            }
            self.start(f"mesh-{zone}-0", [sys.executable, "-m", self.plane], **environment)
        for zone in ZONES:
            for service in ("teller", "asker"):
                self.add_toy(service, zone)
            self.add_edge(zone)
        await self.in_sync(60)

    def add_toy(self, service: str, zone: str) -> None:
        instance = self.instance(service, zone, 0)
        sockets = (str(instance.app_socket), str(instance.egress_socket))
        self.start(instance.id, [sys.executable, "-m", "tests.stack.mesh.toy", instance.id, *sockets])
        self.envoy(instance.id, service, zone, instance.admin_socket)
        self.publish(replace(self.topology, instances=(*self.topology.instances, instance)))

    def proxy_name(self, node: str) -> str:
        return node if node.startswith("edge") else f"{node}.proxy"

    def plane_socket(self, zone: str) -> Path:
        return self.home / f"mesh-{zone}.sock"

    def planes_of(self, zone: str) -> tuple[Path, ...]:
        return tuple(map(self.plane_socket, sorted(PLANES, key=lambda other: other != zone)))

    async def proxies(self) -> dict[str, mesh_pb2.Proxy]:
        try:
            return await proxies(*map(self.plane_socket, PLANES))
        except grpc.aio.AioRpcError:
            return {}

    async def connected_to(self, plane: str) -> set[str]:
        """The proxies that listen to a control plane; nobody, if it does not answer."""
        try:
            known = await proxies(self.plane_socket(plane.split("-")[1]))
        except grpc.aio.AioRpcError:
            return set()
        return {node for node, proxy in known.items() if proxy.connected}

    async def busiest_planes(self) -> list[str]:
        """The control planes, that with the most proxies first."""
        numbers = {f"mesh-{zone}-0": len(await self.connected_to(f"mesh-{zone}-0")) for zone in PLANES}
        return sorted(numbers, key=lambda plane: -numbers[plane])

    def signal(self, names: Iterable[str], number: signal.Signals) -> None:
        for name in names:
            os.kill(self.processes[name].pid, number)

    def again(self, *names: str) -> None:
        """Start what was killed."""
        for name in names:
            arguments, environment = self.started[name]
            self.start(name, arguments, **environment)

    async def restart(self, name: str) -> None:
        """As an operator does: what is under way comes to its end before, and then an edge is to be back."""
        admin_socket = self.home / name / "admin.sock"
        if name.startswith("edge"):
            await EdgeDrained(admin_socket)()
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 10)
        self.again(name)
        if name.startswith("edge"):
            await eventually(lambda: _is_live(admin_socket), f"a new {name}", 30)

    # --- calling ---

    def client(self, nearest: str = "a") -> Reverie:
        edges = sorted(self.topology.edges, key=lambda edge: (edge.zone != nearest, edge.zone))
        addresses = [f"127.0.0.1:{edge.public_port}" for edge in edges]
        token = self.bearer()[0][1].removeprefix("Bearer ")
        return connect(addresses, token=token, ca=self.ca.certificate)


async def _is_live(admin_socket: Path) -> bool:
    try:
        return await EnvoyLive(admin_socket)()
    except OSError:
        return False


@dataclass
class Calls:
    """Calls at a given rate from one zone, whatever becomes of those before, and how each ended."""

    reverie: Reverie
    rate: float
    payload: bytes = b""
    within: timedelta = WITHIN
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    """When each OK came, seconds that it took, and the way that it went."""
    failures: list[tuple[float, ReverieError]] = field(default_factory=list)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _stopped: bool = False

    async def __aenter__(self) -> "Calls":
        self._loop = asyncio.ensure_future(self._start_calls())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await self._loop
        await asyncio.gather(*self._under_way)

    async def _start_calls(self) -> None:
        begun, count = time.monotonic(), 0
        while not self._stopped:
            while count < (time.monotonic() - begun) * self.rate:
                count += 1
                task = asyncio.ensure_future(self._call())
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(0.005)

    async def _call(self) -> None:
        begun = time.monotonic()
        request = echo_pb2.EchoRequest(payload=self.payload)
        try:
            answer = await self.reverie.caller.call(ASKED, request, within=self.within)
        except ReverieError as error:
            self.failures.append((time.monotonic(), error))
        else:
            ended = time.monotonic()
            self.answers.append((ended, ended - begun, answer.payload.decode()))

    # --- what became of them ---

    @property
    def longest_gap(self) -> float:
        times = sorted(at for at, _, _ in self.answers)
        return max((after - before for before, after in pairwise(times)), default=0.0)

    def slowest(self, since: float) -> float:
        return max((took for at, took, _ in self.answers if at >= since), default=0.0)

    async def some(self, number: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.answers) + number

        async def holds() -> bool:
            return len(self.answers) >= wanted

        await eventually(holds, f"{number} more answers", 30)

    async def goes(self, way: str, *, only: bool = True, number: int = 60) -> float:
        """Wait until so many answers in a row came this way (or: none did); when the first of them came."""

        async def holds() -> bool:
            last = self.answers[-number:]
            return len(last) == number and all((way in went) is only for _, _, went in last)

        await eventually(holds, f"calls {'' if only else 'not '}by {way}", 30)
        return self.answers[-number][0]
