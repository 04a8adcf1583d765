"""How a platform is: what was seen, whether that is well, and what to do if it is not. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.local.process import zone_of

ENOUGH_CALLS = 100
"""Of fewer, the slowest one in twenty is a matter of chance."""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """A service process with its proxy, or an edge, which is a proxy alone."""

    id: str
    service: str
    zone: str
    healthy: bool
    """Its own health service says SERVING; an edge: its proxy is live."""
    sidecar_in_sync: bool
    """Its proxy is live and has accepted the newest of everything that the control plane has for it."""
    pss_mib: float
    """Of both processes."""
    pid: int | None = None
    """None: it does not run."""
    uptime_seconds: float | None = None
    restarts: int = 0
    detail: str = ""
    """What is not well."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What a service promises, and keeps."""

    objective_p95_ms: float
    p95_ms: float | None
    """Since its proxies started; None without calls."""
    calls: int = 0
    """How many calls that rests on. What operators ask, this status too, is among them."""

    @property
    def is_slow(self) -> bool:
        """Whether it breaks its promise, by enough calls that one that came cold does not decide."""
        return self.calls >= ENOUGH_CALLS and self.p95_ms is not None and self.p95_ms > self.objective_p95_ms


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A process that is no instance of a service: a store, or the control plane."""

    name: str
    healthy: bool
    pss_mib: float
    """With its children."""
    pid: int | None = None
    uptime_seconds: float | None = None
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AnalysisStatus:
    """The queue of analysis."""

    due: int | None = None
    """None: could not be asked."""
    oldest_due_seconds: float | None = None
    """None: nothing is due, or could not be asked."""
    dead: int | None = None
    detail: str = ""
    """Why it could not be asked."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that `reverie status` shows."""

    home: str
    stage: str
    """What the supervisor said last; `unsupervised` if it is dead."""
    supervised: bool
    instances: tuple[InstanceStatus, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()
    services: Mapping[str, ServiceStatus] = field(default_factory=dict)
    analysis: AnalysisStatus = AnalysisStatus()
    pss_mib: float = 0.0
    """Of all processes, the supervisor too: what is shared counts once."""

    @property
    def is_well(self) -> bool:
        """Whether everything is healthy and in sync, and calls go through the edge."""
        return not any(True for _ in self.troubles())

    def troubles(self) -> Iterator[str]:
        """What is not well, each with what to do."""
        if not self.supervised:
            yield "the supervisor is dead: `reverie down` stops what is left, `reverie up` starts again"
        yield from self._troubles_of(self.instances, self.processes)
        if self.analysis.due is None:
            yield f"the queue of analysis can't be asked: {self.analysis.detail}"

    def troubles_in(self, zone: str) -> Iterator[str]:
        """What is not well in one zone. The database is in none."""
        yield from self._troubles_of(
            (one for one in self.instances if one.zone == zone),
            (one for one in self.processes if zone_of(one.name) == zone),
        )

    def _troubles_of(
        self, instances: Iterable[InstanceStatus], processes: Iterable[ProcessStatus]
    ) -> Iterator[str]:
        for instance in instances:
            if not (instance.healthy and instance.sidecar_in_sync):
                yield f"{instance.id}: {instance.detail}; see `reverie logs {instance.id}`"
        for process in processes:
            if not process.healthy:
                yield f"{process.name}: {process.detail}; see `reverie logs {process.name}`"

    def hints(self) -> Iterator[str]:
        """What a person may want to know beside: nothing here keeps the platform from being well."""
        if self.analysis.dead:
            yield f"{self.analysis.dead} analyses failed for good: `reverie dlq list`, `reverie dlq replay`"
        for name, service in self.services.items():
            if service.is_slow:
                yield (
                    f"{name} is slower than its objective: "
                    f"95 % of {service.calls:,} calls within {service.p95_ms:.0f} ms, "
                    f"not {service.objective_p95_ms:.0f} ms"
                )

    def as_json(self) -> dict[str, Any]:
        """The value that `reverie status -o json` prints."""
        return {
            "home": self.home,
            "stage": self.stage,
            "supervised": self.supervised,
            "well": self.is_well,
            "instances": [_json(one) for one in self.instances],
            "services": {name: _json(one) for name, one in self.services.items()},
            "processes": [_json(one) for one in self.processes],
            "pss_mib": round(self.pss_mib, 1),
            "analysis": _json(self.analysis),
            "troubles": list(self.troubles()),
        }


def _json(value: InstanceStatus | ServiceStatus | ProcessStatus | AnalysisStatus) -> dict[str, Any]:
    found = {name: getattr(value, name) for name in value.__slots__}
    return {name: round(item, 2) if isinstance(item, float) else item for name, item in found.items()}
