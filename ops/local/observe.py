"""Looks at a running platform from outside: proxies' admin interfaces, health services, /proc, the queue.

Nothing here asks the supervisor, which may be dead; its last record only says which process is which.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import reverie_client
from mesh import inspection, topology
from mesh.inspection import Inspection, Latencies
from mesh.topology import EDGE, Edge, Instance, Topology
from ops.local import identity, plan, probes, procfs, record
from ops.local.home import Home, NotRunningError
from ops.local.lifecycle import Phase
from ops.local.process import Probe
from ops.local.procfs import ProcessId
from ops.local.record import Record
from ops.local.status import AnalysisStatus, InstanceStatus, ProcessStatus, ServiceStatus, Status
from ops.local.valkey import ValkeyUnreadyError
from reverie_client import ReverieError
from reverie_client.operator import Operator
from reverie_client.retry import NO_RETRY
from services.catalog import SERVICES, Service

if TYPE_CHECKING:
    from reverie.mesh.v1 import mesh_pb2

TIMEOUT = 3.0
"""Seconds that each look may take; what takes longer is not well."""
_TOKEN_TTL = timedelta(minutes=1)
_KIB_PER_MIB = 1024
_TRIED = frozenset({Phase.FAILED, Phase.BACKOFF})


async def look(home: Home, *, weigh: bool = True) -> Status:
    """How the platform is now. NotRunningError if nothing of it runs.

    `weigh`: measure memory too. That is most of the work, for the kernel walks through every page table.
    """
    found = record.load(home.state)
    alive = found.alive if found else {}
    if found is None or not (alive or found.supervisor.is_alive()):
        raise NotRunningError(_why_not(home, found))
    if not home.topology.exists():
        raise NotRunningError(_why_not(home, found))
    form = topology.load(home.topology)
    view = _View(found, alive, weigh=weigh)
    proxies, instances, processes, analysis = await asyncio.gather(
        _proxies(home, form),
        asyncio.gather(*(_holds(probes.GrpcHealth(one.app_socket)) for one in form.instances)),
        asyncio.gather(*(_process(view, name, probe) for name, probe in _probes(home, form).items())),
        _analysis(home, form),
    )
    healthy = zip(form.instances, instances, strict=True)
    return Status(
        home=str(home.root),
        stage=found.stage.value,
        supervised=found.supervisor.is_alive(),
        instances=(
            *(_instance(view, one, proxies[one.id], healthy=yes) for one, yes in healthy),
            *(_edge(view, one, proxies[one.id]) for one in form.edges),
        ),
        processes=tuple(processes),
        services={row.name: _service(row, form, proxies) for row in SERVICES},
        analysis=analysis,
        pss_mib=view.pss_of_all(),
    )


async def missing(home: Home) -> str:
    """What keeps the platform from being well; empty if nothing does."""
    return next((await look(home, weigh=False)).troubles(), "")


def _why_not(home: Home, found: Record | None) -> str:
    if home.is_locked():
        return f"the platform in {home.root} is just starting: ask again in a second"
    if found is None or not home.root.exists():
        return f"no platform runs in {home.root}: start it with `reverie up`, or name its home with --home"
    if found.failure:
        return f"the platform in {home.root} did not start: {found.failure}; try again with `reverie up`"
    if found.stage is not record.Stage.STOPPED:
        return f"the supervisor of {home.root} was killed, and all ended with it: `reverie up` starts again"
    return f"the platform in {home.root} is stopped: start it with `reverie up`"


class _View:
    """What /proc says of the processes that a record names."""

    def __init__(self, found: Record, alive: Mapping[str, ProcessId], *, weigh: bool) -> None:
        self._record = found
        self._alive = alive
        self._parents = procfs.parents() if weigh else None

    def pss(self, *names: str) -> float:
        """MiB that these processes and their children hold."""
        return self._pss([self._alive[name].pid for name in names if name in self._alive])

    def pss_of_all(self) -> float:
        """MiB that everything holds, the supervisor too."""
        return self._pss([one.pid for one in (*self._alive.values(), self._record.supervisor)])

    def _pss(self, pids: list[int]) -> float:
        if self._parents is None:
            return 0.0
        return sum(map(procfs.pss_kib, procfs.families(pids, self._parents))) / _KIB_PER_MIB

    def pid(self, name: str) -> int | None:
        """The number of a process; None if it does not run."""
        return self._alive[name].pid if name in self._alive else None

    def uptime(self, name: str) -> float | None:
        """Seconds that a process has lived; None if it does not run."""
        return self._alive[name].age_seconds() if name in self._alive else None

    def restarts(self, name: str) -> int:
        """How often it was started again, by the supervisor's record."""
        known = self._record.processes.get(name)
        return known.restarts if known else 0

    def why_not(self, name: str) -> str:
        """What is known about a process that is not healthy."""
        known = self._record.processes.get(name)
        if name in self._alive or known is None:
            return f"{name} runs, but does not answer as it should"
        reason = f": {known.reason}" if known.reason else ""
        again = f"; `reverie restart {name}` tries again at once" if known.phase in _TRIED else ""
        return f"{name} does not run ({known.phase.value}{reason}){again}"


@dataclass(frozen=True, slots=True)
class _Proxy:
    """What a proxy's admin interface told."""

    inspection: Inspection | None
    """None: it does not answer."""

    @property
    def answers(self) -> bool:
        return self.inspection is not None

    @property
    def in_sync(self) -> bool:
        return self.inspection is not None and self.inspection.is_in_sync

    @property
    def reasons(self) -> str:
        # Envoy's own words may have line ends.
        return " ".join(", ".join(self.inspection.reasons).split()) if self.inspection else ""


async def _proxies(home: Home, form: Topology) -> dict[str, _Proxy]:
    """Every proxy of the topology, by node id."""
    import grpc

    meshes = plan.mesh_ids(plan.zones_in(form))
    try:
        known = await inspection.proxies(*(plan.mesh_socket(home, name) for name in meshes))
    except grpc.aio.AioRpcError:
        known = {}
    nodes = [(one.id, one.admin_socket) for one in form.instances]
    nodes += [(one.id, one.admin_socket) for one in form.edges]
    seen = await asyncio.gather(
        *(asyncio.to_thread(_inspect, socket, known.get(node)) for node, socket in nodes)
    )
    return {node: proxy for (node, _), proxy in zip(nodes, seen, strict=True)}


def _inspect(admin_socket: Path, known: "mesh_pb2.Proxy | None") -> _Proxy:
    try:
        return _Proxy(inspection.inspect(admin_socket, known))
    except inspection.AdminError:
        return _Proxy(None)


def _instance(view: _View, instance: Instance, proxy: _Proxy, *, healthy: bool) -> InstanceStatus:
    name = plan.proxy_of(instance.id)
    sickness = "" if healthy else view.why_not(instance.id)
    discord = proxy.reasons if proxy.answers else view.why_not(name)
    return InstanceStatus(
        id=instance.id,
        service=instance.service,
        zone=instance.zone,
        healthy=healthy,
        sidecar_in_sync=proxy.in_sync,
        pss_mib=view.pss(instance.id, name),
        pid=view.pid(instance.id),
        uptime_seconds=view.uptime(instance.id),
        restarts=view.restarts(instance.id),
        detail="; ".join(part for part in (sickness, discord) if part),
    )


def _edge(view: _View, edge: Edge, proxy: _Proxy) -> InstanceStatus:
    return InstanceStatus(
        id=edge.id,
        service=EDGE,
        zone=edge.zone,
        healthy=proxy.answers,
        sidecar_in_sync=proxy.in_sync,
        pss_mib=view.pss(edge.id),
        pid=view.pid(edge.id),
        uptime_seconds=view.uptime(edge.id),
        restarts=view.restarts(edge.id),
        detail=proxy.reasons if proxy.answers else view.why_not(edge.id),
    )


def _service(row: Service, form: Topology, proxies: Mapping[str, _Proxy]) -> ServiceStatus:
    """What comes in through the proxies of a service; of a worker: what goes out."""
    seen = [proxies[instance.id].inspection for instance in form.of(row.name)]
    calls = sum((one.outbound if row.worker else one.inbound for one in seen if one), start=Latencies())
    return ServiceStatus(
        objective_p95_ms=row.objective_p95.total_seconds() * 1000,
        p95_ms=calls.quantile(0.95),
        calls=calls.count,
    )


async def _process(view: _View, name: str, probe: Probe) -> ProcessStatus:
    healthy = await _holds(probe)
    return ProcessStatus(
        name=name,
        healthy=healthy,
        pss_mib=view.pss(name),
        pid=view.pid(name),
        uptime_seconds=view.uptime(name),
        restarts=view.restarts(name),
        detail="" if healthy else view.why_not(name),
    )


def _probes(home: Home, form: Topology) -> dict[str, Probe]:
    postgres, nodes = plan.stores(home)
    meshes = plan.mesh_ids(plan.zones_in(form))
    return {
        plan.FORKSERVER: probes.ForkServerAnswers(plan.fork_socket(home)),
        plan.POSTGRES: postgres.ready,
        **{node.place.name: node.serves for node in nodes},
        **{name: probes.GrpcHealth(plan.mesh_socket(home, name)) for name in meshes},
    }


async def _holds(probe: Probe) -> bool:
    """What a probe says in the time that there is."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await probe()
    except (OSError, TimeoutError, ValkeyUnreadyError):
        return False


async def _analysis(home: Home, form: Topology) -> AnalysisStatus:
    """The queue, asked as an operator would: through the first edge that answers."""
    token = identity.issue_token(home, scopes=(identity.OPERATOR,), ttl=_TOKEN_TTL)
    within = timedelta(seconds=TIMEOUT) / len(form.edges)
    found = AnalysisStatus()
    for edge in form.edges:
        found = await _analysis_by(f"{edge.address}:{edge.operator_port}", token, form.ca, within)
        if found.due is not None:
            break
    return found


async def _analysis_by(address: str, token: str, ca: Path, within: timedelta) -> AnalysisStatus:
    try:
        async with reverie_client.connect(address, token=token, ca=ca, retry=NO_RETRY) as reverie:
            stats = await Operator(reverie).queue_stats(within=within)
    except ReverieError as error:
        return AnalysisStatus(detail=f"{error.code.name}: {error}")
    oldest = None if stats.oldest_due_age is None else stats.oldest_due_age.total_seconds()
    return AnalysisStatus(stats.due, oldest, stats.dead)
