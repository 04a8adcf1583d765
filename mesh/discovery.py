"""Who is there and who is well: watches files and every instance's health, publishes snapshots.

Two control planes may watch the same instances: neither asks the other, and what they see of one differs for
no longer than `following` says that it takes to see it. From the same view they make the same resources.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog

from mesh import following
from mesh.beat import Beat
from mesh.cache import Cache
from mesh.presence import Presence, Proxy, believed
from mesh.resources.endpoint import Condition
from mesh.snapshot import Builder
from mesh.topology import Instance, Topology, TopologyError, load

FILE_INTERVAL = 0.1
"""Seconds between two looks at the files."""
SETTLE_TIMEOUT = 1.0
"""How long a new control plane waits to hear of every instance before it speaks: it might bring back into the
balancing what is about to leave."""

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
        self._followers: dict[Instance, list[asyncio.Task[None]]] = {}
        self._beat = Beat(following.PING_INTERVAL)
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
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
            for task in self._followers.pop(instance):
                task.cancel()
            self._presences.pop(instance.id, None)
        for instance in wanted - self._followers.keys():
            presence = Presence(Proxy.EXPECTED if self.published.is_set() else Proxy.ASSUMED)
            self._presences[instance.id] = presence
            noting = (self._noting(instance, presence.app_is), self._noting(instance, presence.proxy_is))
            self._followers[instance] = [
                tasks.create_task(following.service(instance, noting[0], self._beat)),
                tasks.create_task(following.proxy(instance, noting[1], self._beat)),
            ]

    def _noting(self, instance: Instance, tell: Callable[[Condition], None]) -> Callable[[Condition], None]:
        presence = self._presences[instance.id]

        def heard(condition: Condition) -> None:
            before = presence.app, presence.proxy
            tell(condition)
            if before != (presence.app, presence.proxy):
                self._noted(instance.id, presence)

        return heard

    def _noted(self, instance_id: str, presence: Presence) -> None:
        app = None if presence.app is None else presence.app.value
        condition = presence.condition.value
        _log.info("presence", instance=instance_id, condition=condition, app=app, proxy=presence.proxy.value)
        self._changed.set()

    async def _settle(self) -> None:
        """Wait for a topology, then a little for the first word of every instance."""
        while self._topology is None:
            await self._changed.wait()
            self._changed.clear()
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT):
                while not all(presence.is_heard_of for presence in self._presences.values()):
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            silent = [node for node, presence in self._presences.items() if not presence.is_heard_of]
            _log.warning("speaking before every instance was heard of", silent=silent)

    def _rebuild(self) -> None:
        assert self._topology is not None
        conditions = believed(self._presences)
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
