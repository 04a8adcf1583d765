"""When the platform noticed: the supervisor that a process ended, or the mesh that it takes no calls."""

import asyncio
import json
from collections.abc import Collection, Iterator
from typing import Any

from mesh import inspection, topology
from ops.drills.scene import Scene
from services.runtime.clock import MonotonicClock

_PAUSE = 0.05
_CLUSTERS = "/clusters?format=json"
_HEALTHY = frozenset({"HEALTHY", "UNKNOWN"})


class Watch:
    """Looks every 50 ms until somebody has noticed."""

    def __init__(self, scene: Scene, victims: Collection[str], clock: MonotonicClock) -> None:
        self._scene = scene
        self._victims = victims
        self._clock = clock
        self._before = scene.known()
        form = topology.load(scene.platform.home.topology)
        hit = {name.removesuffix(".proxy") for name in victims}
        self._ports = {one.port for one in form.instances if one.id in hit and one.port}
        self._onlooker = next((one.admin_socket for one in form.edges if one.id not in victims), None)
        self.noticed_at: float | None = None
        self.noticed_by = ""
        """`supervisor` or `mesh`; empty: nobody has."""

    async def until_noticed(self) -> None:
        """Returns when somebody has, at once if it befalls nobody. Cancel it when there is nothing more.

        A look at all processes takes milliseconds of a core that the platform shares.
        """
        if not self._victims:
            return
        while not self.noticed_by:
            await asyncio.sleep(_PAUSE)
            self.noticed_by = await self._by()
        self.noticed_at = self._clock()

    async def _by(self) -> str:
        if self._supervisor_has():
            return "supervisor"
        if not self._ports:
            return ""
        return "mesh" if await asyncio.to_thread(self._mesh_has) else ""

    def _supervisor_has(self) -> bool:
        now, before = self._scene.known(), self._before
        return any(
            (now[name].phase, now[name].id) != (before[name].phase, before[name].id) for name in self._victims
        )

    def _mesh_has(self) -> bool:
        """Whether an edge that is well sends nothing more to the victims. Blocks for some 5 ms."""
        if self._onlooker is None:
            return False
        try:
            clusters = json.loads(inspection.read(self._onlooker, _CLUSTERS))
        except inspection.AdminError:
            return False
        return not self._ports & set(usable_ports(clusters))


def usable_ports(clusters: Any) -> Iterator[int]:
    """The ports that a proxy sends calls to, from its `/clusters?format=json`."""
    for cluster in clusters.get("cluster_statuses", ()):
        for host in cluster.get("host_statuses", ()):
            address, health = host.get("address", {}).get("socket_address"), host.get("health_status", {})
            ejected = health.get("failed_outlier_check") or health.get("failed_active_health_check")
            if address and not ejected and health.get("eds_health_status", "HEALTHY") in _HEALTHY:
                yield int(address["port_value"])
