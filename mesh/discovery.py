"""Who is there and who is well: watches files and every instance's health, publishes snapshots.

A change of health is in the snapshots as soon as the instance says so or its socket closes; an instance that
is there but does not answer is noticed within `PROBE_INTERVAL` and `PROBE_TIMEOUT`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.cache import Cache
from mesh.presence import Presence, Proxy
from mesh.resources.endpoint import Condition
from mesh.snapshot import Builder
from mesh.topology import Instance, Topology, TopologyError, load

FILE_INTERVAL = 0.1
"""Seconds between two looks at the files."""
PROBE_INTERVAL = 2.0
"""Seconds between two questions to an instance that says nothing: it may have frozen."""
PROBE_TIMEOUT = 2.0
SETTLE_TIMEOUT = 1.0
"""How long a new control plane waits to hear of every instance before it speaks: it might bring back into the
balancing what is about to leave."""

_RETRY_INTERVAL = 0.1
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Else channels to one address share a connection, and with it its back-off.
    ("grpc.use_local_subchannel_pool", 1),
)
_EVERYTHING = health_pb2.HealthCheckRequest(service="")
_log = structlog.get_logger("discovery")


class Discovery:
    """Keeps what is published up to date."""

    def __init__(self, path: Path, builder: Builder, cache: Cache) -> None:
        self.published = asyncio.Event()
        """Set once there was something to publish."""
        self._path = path
        self._builder = builder
        self._cache = cache
        self._topology: Topology | None = None
        self._jwks = ""
        self._presences: dict[str, Presence] = {}
        self._followers: dict[Instance, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        self._cache.on_change = self._look_at_proxy
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_file(tasks))
            await self._settle()
            while True:
                self._changed.clear()
                self._rebuild()
                await self._changed.wait()

    async def _follow_file(self, tasks: asyncio.TaskGroup) -> None:
        async for topology, jwks in topologies(self._path):
            try:
                # Only a topology that can be built replaces the one before.
                self._builder.build(topology, jwks, {})
            except TopologyError as error:
                _log.error("topology refused", error=str(error))
                continue
            self._topology, self._jwks = topology, jwks
            self._follow(topology, tasks)
            self._changed.set()

    def _follow(self, topology: Topology, tasks: asyncio.TaskGroup) -> None:
        wanted = set(topology.instances)
        for instance in self._followers.keys() - wanted:
            self._followers.pop(instance).cancel()
            self._presences.pop(instance.id, None)
        for instance in wanted - self._followers.keys():
            presence = Presence(Proxy.EXPECTED if self.published.is_set() else Proxy.ASSUMED)
            if self._cache.is_ready(instance.id):
                presence.proxy_is(ready=True)
            self._presences[instance.id] = presence
            self._followers[instance] = tasks.create_task(follow(instance, presence, self._noted))

    def _look_at_proxy(self, node_id: str) -> None:
        presence = self._presences.get(node_id)
        if presence is not None:
            presence.proxy_is(ready=self._cache.is_ready(node_id))
            self._noted(node_id)

    def _noted(self, instance_id: str) -> None:
        presence = self._presences[instance_id]
        told = {"condition": presence.condition.value, "proxy": presence.proxy.value}
        _log.info("presence", instance=instance_id, **told)
        self._changed.set()

    async def _settle(self) -> None:
        """Wait for a topology, then a little for the first word of every instance."""
        while self._topology is None:
            await self._changed.wait()
            self._changed.clear()
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT):
                while any(presence.app is None for presence in self._presences.values()):
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            silent = [node for node, presence in self._presences.items() if presence.app is None]
            _log.warning("speaking before every instance was heard of", silent=silent)

    def _rebuild(self) -> None:
        assert self._topology is not None
        conditions = {node: presence.condition for node, presence in self._presences.items()}
        self._cache.publish(self._builder.build(self._topology, self._jwks, conditions))
        self.published.set()


async def topologies(path: Path) -> AsyncIterator[tuple[Topology, str]]:
    """The topology and the text of its key file, now and whenever one of the files is replaced.

    What can't be read is logged and skipped.
    """
    seen: object = None
    keys = path
    while True:
        stamp = _stamp(path), _stamp(keys)
        if stamp != seen:
            seen = stamp
            try:
                topology = load(path)
                keys = topology.jwks
                seen = stamp[0], _stamp(keys)
                yield topology, _text(keys)
            except TopologyError as error:
                _log.error("topology refused", error=str(error))
        await asyncio.sleep(FILE_INTERVAL)


def _text(keys: Path) -> str:
    try:
        return keys.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TopologyError(f"can't read the keys of callers, {keys}: {error}") from error


def _stamp(path: Path) -> object:
    try:
        state = path.stat()
    except OSError as error:
        return error.errno
    return state.st_ino, state.st_mtime_ns, state.st_size


async def follow(instance: Instance, presence: Presence, noted: Callable[[str], None]) -> None:
    """Keep up to date what is known of an instance's service, and call `noted` when it changes; for ever."""

    def heard(condition: Condition) -> None:
        before = presence.app
        presence.app_is(condition)
        if presence.app is not before:
            noted(instance.id)

    async with grpc.aio.insecure_channel(f"unix:{instance.app_socket}", options=_CHANNEL_OPTIONS) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            await _until_silent(health, heard)
            heard(Condition.LOST)
            await asyncio.sleep(_RETRY_INTERVAL)


async def _until_silent(health: health_pb2_grpc.HealthStub, heard: Callable[[Condition], None]) -> None:
    """Listen to a service until its stream ends or it stops answering questions."""
    tasks = {asyncio.ensure_future(_watch(health, heard)), asyncio.ensure_future(_probe(health))}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        failure = task.exception()
        if failure is not None and not isinstance(failure, grpc.aio.AioRpcError):
            raise failure


async def _watch(health: health_pb2_grpc.HealthStub, heard: Callable[[Condition], None]) -> None:
    async for response in health.Watch(_EVERYTHING):  # type: ignore[attr-defined]
        serving = response.status == health_pb2.HealthCheckResponse.SERVING
        heard(Condition.SERVING if serving else Condition.LEAVING)


async def _probe(health: health_pb2_grpc.HealthStub) -> None:
    while True:
        await asyncio.sleep(PROBE_INTERVAL)
        await health.Check(_EVERYTHING, timeout=PROBE_TIMEOUT)  # type: ignore[attr-defined]
