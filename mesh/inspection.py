"""What a proxy really runs with, read from its own admin interface, beside what it should.

    seen = inspect(instance.admin_socket, (await proxies(mesh_socket)).get(instance.id))
    seen.is_in_sync, seen.reasons, seen.inbound.quantile(0.95)

Light to import: for commands that are typed. Endpoints carry no version in Envoy's dump; of them the control
plane's word counts, which stands on the proxy's own acknowledgement.
"""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from mesh.wire import CLUSTER, LISTENER, ROUTE
from reverie.mesh.v1 import mesh_pb2, mesh_pb2_grpc

TIMEOUT_SECONDS = 2.0

_INBOUND, _OUTBOUND, _EDGE = (
    f"http.{prefix}.downstream_rq_time" for prefix in ("inbound", "outbound", "edge")
)
_STATS = "/stats?format=json&histogram_buckets=detailed&filter=^http\\.[a-z]*\\.downstream_rq_time$"
_DUMP = "/config_dump"
_STATES = {
    mesh_pb2.SYNC_STATE_PENDING: "was not sent, or has not acknowledged, the newest",
    mesh_pb2.SYNC_STATE_REJECTED: "refused",
    mesh_pb2.SYNC_STATE_NOT_SENT: "never asked for",
}


class AdminError(Exception):
    """Raised when a proxy's admin interface does not answer; says which and why."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many calls took between `low` and `high` milliseconds."""

    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long calls took since the proxy started. Several proxies' can be added."""

    buckets: tuple[Bucket, ...] = ()

    @property
    def count(self) -> int:
        """How many calls there were."""
        return sum(bucket.count for bucket in self.buckets)

    def __add__(self, other: "Latencies") -> "Latencies":
        return Latencies((*self.buckets, *other.buckets))

    def quantile(self, share: float) -> float | None:
        """Milliseconds within which this share of the calls ended, to a bucket's width; None without calls.

        Envoy counts whole milliseconds, rounded down.
        """
        if not self.count:
            return None
        before, rank = 0, share * self.count
        for bucket in sorted(self.buckets, key=lambda bucket: bucket.high):
            if before + bucket.count >= rank:
                return bucket.low + (bucket.high - bucket.low) * (rank - before) / bucket.count
            before += bucket.count
        return max(bucket.high for bucket in self.buckets)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one proxy says."""

    reasons: tuple[str, ...]
    """Why it is not in sync; empty if it is."""
    inbound: Latencies
    """Calls that came in from other proxies."""
    outbound: Latencies
    """Calls that its service made."""
    edge: Latencies
    """Calls of applications and operators."""

    @property
    def is_in_sync(self) -> bool:
        """Whether it runs with what it should, and with nothing else."""
        return not self.reasons


def inspect(admin_socket: Path, proxy: mesh_pb2.Proxy | None) -> Inspection:
    """Ask a proxy, and compare with what the control plane says of it (None: it does not know it).

    Blocks for some 10 ms. Raises AdminError.
    """
    # The first question makes Envoy add up its workers' histograms, the last one reads them.
    read(admin_socket, _STATS)
    dump = json.loads(read(admin_socket, _DUMP))
    stats = json.loads(read(admin_socket, _STATS))
    latencies = (latencies_of(stats, name) for name in (_INBOUND, _OUTBOUND, _EDGE))
    return Inspection(tuple(differences(dump, proxy)), *latencies)


async def proxies(*mesh_sockets: Path) -> dict[str, mesh_pb2.Proxy]:
    """Every proxy that the control planes know, by node id, as the one says to which it listens.

    Of one that listens to none: as the one says that it was connected to last. Those that do not answer are
    passed over; raises AioRpcError if none does.
    """
    answers = await asyncio.gather(*map(_proxies, mesh_sockets), return_exceptions=True)
    known = [answer for answer in answers if not isinstance(answer, BaseException)]
    for answer in answers:
        if isinstance(answer, BaseException) and not (known and isinstance(answer, grpc.aio.AioRpcError)):
            raise answer
    return newest(known)


def newest(known: Iterable[Mapping[str, mesh_pb2.Proxy]]) -> dict[str, mesh_pb2.Proxy]:
    """Of what several control planes say of each proxy, what counts."""
    found: dict[str, mesh_pb2.Proxy] = {}
    for answer in known:
        for node, proxy in answer.items():
            if node not in found or _recency(proxy) > _recency(found[node]):
                found[node] = proxy
    return found


def _recency(proxy: mesh_pb2.Proxy) -> tuple[bool, int, int]:
    return proxy.connected, proxy.connect_time.seconds, proxy.connect_time.nanos


async def _proxies(mesh_socket: Path) -> dict[str, mesh_pb2.Proxy]:
    async with grpc.aio.insecure_channel(f"unix:{mesh_socket}") as channel:
        stub = mesh_pb2_grpc.MeshServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = await stub.ListProxies(mesh_pb2.ListProxiesRequest(), timeout=TIMEOUT_SECONDS)
    return {proxy.node_id: proxy for proxy in answer.proxies}


def differences(dump: Mapping[str, Any], proxy: mesh_pb2.Proxy | None) -> Iterator[str]:
    """Why a proxy with this `/config_dump` is not in sync, in words; nothing if it is."""
    if proxy is None:
        yield "the control plane has not heard of it"
        return
    if not proxy.connected:
        yield "not connected to the control plane"
    running = versions(dump)
    for status in proxy.types:
        kind = status.type_url.rsplit(".", 1)[-1]
        if status.state in _STATES and status.wanted:
            yield f"{kind}: {_STATES[status.state]}" + (f": {status.error}" if status.error else "")
        elif status.type_url in running:
            yield from _unlike(kind, running[status.type_url], status.wanted)


def versions(dump: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Name and version of what is active, by type: clusters, listeners and routes that came by xDS."""
    found: dict[str, dict[str, str]] = {CLUSTER: {}, LISTENER: {}, ROUTE: {}}
    for config in dump["configs"]:
        for entry in config.get("dynamic_active_clusters", ()):
            found[CLUSTER][entry["cluster"]["name"]] = entry["version_info"]
        for entry in config.get("dynamic_route_configs", ()):
            found[ROUTE][entry["route_config"]["name"]] = entry["version_info"]
        for entry in config.get("dynamic_listeners", ()):
            if "active_state" in entry:
                found[LISTENER][entry["name"]] = entry["active_state"]["version_info"]
    return found


def _unlike(
    kind: str, running: Mapping[str, str], wanted: Iterable[mesh_pb2.ResourceVersion]
) -> Iterator[str]:
    should = {resource.name: resource.version for resource in wanted}
    for name in sorted(should.keys() - running.keys()):
        yield f"{kind}: {name} is not active"
    for name in sorted(running.keys() - should.keys()):
        yield f"{kind}: {name} should be gone"
    for name in sorted(should.keys() & running.keys()):
        if should[name] != running[name]:
            yield f"{kind}: {name} runs with {running[name]}, not {should[name]}"


def latencies_of(stats: Mapping[str, Any], name: str) -> Latencies:
    """One histogram of `/stats?format=json&histogram_buckets=detailed`. Empty if it is not there."""
    for entry in stats["stats"]:
        for histogram in entry.get("histograms", {}).get("details", ()):
            if histogram["name"] == name:
                return Latencies(tuple(_buckets(histogram["totals"])))
    return Latencies()


def _buckets(totals: Iterable[Mapping[str, Any]]) -> Iterator[Bucket]:
    for total in totals:
        low = float(total["lower_bound"])
        yield Bucket(low, low + float(total["width"]), int(total["count"]))


def read(admin_socket: Path, path: str, method: str = "GET") -> str:
    """What a proxy's admin interface answers; it takes orders by POST. Raises AdminError."""
    connection = _UnixConnection(admin_socket)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise AdminError(f"the proxy's admin socket {admin_socket} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise AdminError(f"the proxy at {admin_socket} answers {path} with {response.status}: {body}")
    return body


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
