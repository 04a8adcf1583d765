"""What runs where: the file by which the platform tells the control plane which proxies there are.

    dump(Topology(instances=(...), edges=(...), ca=Path("ca.pem"), jwks=Path("jwks.json")), path)
    load(path).of("storage")

The platform writes it, the control plane reads it again whenever it changes. Its values are frozen; nothing
here looks at the machine.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from services.catalog import Table
from services.runtime import files

TRUST_DOMAIN = "reverie.local"
EDGE = "edge"
"""The service name of edges: in their identity, and as the caller of public APIs."""


class TopologyError(Exception):
    """Raised when a topology contradicts itself or its file can't be read; says which part and why."""


def identity(service: str, trust_domain: str = TRUST_DOMAIN) -> str:
    """The SPIFFE id of a service, as its certificates carry it and its callees check it."""
    return f"spiffe://{trust_domain}/service/{service}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a service, with the Envoy beside it."""

    id: str
    """`{service}-{zone}-{ordinal}`; also the proxy's node id."""
    service: str
    """Its name in the catalog."""
    zone: str
    address: str
    """Where its proxy listens for other proxies (mutual TLS), and where they reach it."""
    port: int
    """0: nobody calls it, as a worker; its proxy then has no inbound listener."""
    app_socket: Path
    """Where the service listens: gRPC without TLS, for its proxy and for health checks."""
    egress_socket: Path
    """Where its proxy takes the service's own calls."""
    admin_socket: Path
    """The proxy's admin interface."""
    certificate: Path
    """PEM with the SPIFFE id of the service."""
    key: Path


@dataclass(frozen=True, slots=True)
class Edge:
    """An Envoy through which applications and operators come in."""

    id: str
    """`edge-{zone}-{ordinal}`; also the proxy's node id."""
    zone: str
    address: str
    """Where both of its ports are bound."""
    public_port: int
    operator_port: int
    admin_socket: Path
    certificate: Path
    """PEM with the names that clients use and the SPIFFE id of the edge: it proves itself to both sides."""
    key: Path

    @property
    def health_socket(self) -> Path:
        """Where it answers itself that it is there."""
        return self.admin_socket.with_name("health.sock")


@dataclass(frozen=True, slots=True)
class Topology:
    """Every proxy there is. Raises TopologyError when two of them collide."""

    instances: tuple[Instance, ...]
    edges: tuple[Edge, ...]
    ca: Path
    """PEM of the authority that signs every certificate named here."""
    jwks: Path
    """Public keys by which edges verify the JWTs of callers."""
    trust_domain: str = TRUST_DOMAIN

    def __post_init__(self) -> None:
        taken: dict[str, str] = {}
        for claim, owner in _claims(self):
            if claim in taken:
                raise TopologyError(
                    f"{claim} is claimed by {taken[claim]} and by {owner}; give one of them another"
                )
            taken[claim] = owner

    def of(self, service: str) -> tuple[Instance, ...]:
        """The instances of a service, in the order of the file."""
        return tuple(instance for instance in self.instances if instance.service == service)


def example(table: Table) -> Topology:
    """One instance of every service and one edge, none of which is there."""
    there = Path("/nowhere")
    instances = tuple(
        Instance(
            id=f"{row.name}-a-0",
            service=row.name,
            zone="a",
            address="127.0.0.1",
            port=port if row.apis else 0,
            app_socket=there / row.name / "app.sock",
            egress_socket=there / row.name / "egress.sock",
            admin_socket=there / row.name / "admin.sock",
            certificate=there / row.name / "cert.pem",
            key=there / row.name / "key.pem",
        )
        for port, row in enumerate(table, 1024)
    )
    edge = Edge(
        id=f"{EDGE}-a-0",
        zone="a",
        address="127.0.0.1",
        public_port=8443,
        operator_port=8444,
        admin_socket=there / EDGE / "admin.sock",
        certificate=there / EDGE / "cert.pem",
        key=there / EDGE / "key.pem",
    )
    return Topology(instances, (edge,), ca=there / "ca.pem", jwks=there / "jwks.json")


def _claims(topology: Topology) -> list[tuple[str, str]]:
    """What only one proxy can have, each with the proxy that has it."""
    ids = [node.id for node in topology.instances] + [node.id for node in topology.edges]
    found = [(f"the id {node}", node) for node in ids]
    for instance in topology.instances:
        if instance.port:
            found.append((f"{instance.address}:{instance.port}", instance.id))
        sockets = (instance.app_socket, instance.egress_socket, instance.admin_socket)
        found.extend((str(socket), instance.id) for socket in sockets)
    for edge in topology.edges:
        found.extend((f"{edge.address}:{port}", edge.id) for port in (edge.public_port, edge.operator_port))
        found.append((str(edge.admin_socket), edge.id))
    return found


def dump(topology: Topology, path: Path) -> None:
    """Write the file in one step: a reader sees the old one or the new one, never a part."""
    files.replace(path, json.dumps(asdict(topology), indent=2, default=str) + "\n")


def load(path: Path) -> Topology:
    """Read the file. Raises TopologyError, naming the part that is missing, unknown or of the wrong kind."""
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TopologyError(f"can't read the topology {path}: {error}") from error
    return parse(parts)


def parse(parts: Any) -> Topology:
    """Make a topology of the file's JSON value. Raises TopologyError as `load` does."""
    top = _record("topology", Topology, parts)
    top["instances"] = tuple(
        Instance(**_record(f"instances[{at}]", Instance, part))
        for at, part in enumerate(_list("instances", top["instances"]))
    )
    top["edges"] = tuple(
        Edge(**_record(f"edges[{at}]", Edge, part)) for at, part in enumerate(_list("edges", top["edges"]))
    )
    return Topology(**top)


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TopologyError(f"{where} must be a list, not {type(value).__name__}")
    return value


def _record(where: str, kind: type[Instance | Edge | Topology], value: Any) -> dict[str, Any]:
    """The fields of one dataclass, checked against its declaration; lists are left to the caller."""
    if not isinstance(value, Mapping):
        raise TopologyError(f"{where} must be an object, not {type(value).__name__}")
    declared = {field.name: field.type for field in fields(kind)}
    if unlike := set(declared) ^ set(value):
        raise TopologyError(f"{where}: missing or unknown: {', '.join(sorted(unlike))}")
    return {name: _field(f"{where}.{name}", wanted, value[name]) for name, wanted in declared.items()}


def _field(where: str, wanted: Any, value: Any) -> Any:
    if wanted not in {Path, str, int}:
        return value
    given = str if wanted is Path else wanted
    if type(value) is not given:
        raise TopologyError(f"{where} must be {given.__name__}, not {type(value).__name__}")
    return wanted(value)
