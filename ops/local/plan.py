"""What a platform on one machine consists of: names, ports, the topology. Pure, but for `stores`.

services  one instance of each in each zone       {service}-{zone}-0, and its proxy {service}-{zone}-0.proxy
edge      where applications come in, in each zone    edge-{zone}-0
mesh      the control planes of all proxies           mesh-a-0; of three zones also mesh-b-0
makes     forkserver, of whom services and control planes are copies
stores    postgres, one node; migrate runs before storage
          valkey-{zone}-0; of three zones also valkey-{zone}-1, which begins as a replica
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh.topology import EDGE, Edge, Instance, Topology
from ops.local import ports
from ops.local.embedders import Embedder
from ops.local.home import Home, HomeError
from ops.local.ports import LOOPBACK, Wish
from ops.local.postgres import Postgres
from ops.local.valkey import Valkey
from ops.local.valkey_cluster import Place
from services.catalog import SERVICES, Service

ZONES = ("a", "b", "c")
ZONE = ZONES[0]
"""The zone that every platform has; the database is in it."""
POSTGRES = "postgres"
MIGRATE = "migrate"
FORKSERVER = "forkserver"
PUBLIC_PORT = 8443
OPERATOR_PORT = 8444


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose when a platform starts. HomeError for a number of zones that can't be."""

    port: int | None = None
    """Where applications come in; 0: any free one. None: as last time, else 8443. Further zones' edges take
    free ones, and keep them."""
    operator_port: int | None = None
    """Where operators come in; 0: any free one. None: as last time, else 8444."""
    embedder: str = Embedder.MINILM
    """`static` is faster, and a little worse."""
    lanes: int = 1
    """How many batches of writes may be under way at a time."""
    zones: int | None = None
    """1 or 3; None: as last time, else 1."""

    def __post_init__(self) -> None:
        if self.zones not in {None, 1, len(ZONES)}:
            raise HomeError(
                f"a platform has 1 zone or {len(ZONES)}, not {self.zones}: of two, neither could tell "
                "which of them is cut off; choose with --zones"
            )


def zones_of(options: Options, kept: Mapping[str, int]) -> tuple[str, ...]:
    """The zones of a start: those that were chosen, or those that had ports last time."""
    known = sum(f"{edge_id(zone)}/public" in kept for zone in ZONES)
    return ZONES[: options.zones or known or 1]


def proxy_of(instance: str) -> str:
    """The name of the process that is the proxy of an instance."""
    return f"{instance}.proxy"


def instance_id(service: str, zone: str = ZONE) -> str:
    """The id of the only instance of a service in a zone."""
    return f"{service}-{zone}-0"


def edge_id(zone: str = ZONE) -> str:
    """The id of a zone's edge."""
    return f"{EDGE}-{zone}-0"


def mesh_ids(zones: tuple[str, ...]) -> tuple[str, ...]:
    """The control planes. Two do: proxies keep what they have while they have none."""
    return tuple(f"mesh-{zone}-0" for zone in zones[:2])


def valkey_ids(zones: tuple[str, ...]) -> tuple[str, ...]:
    """The nodes of Valkey: those that begin as primaries, then those that begin as replicas."""
    ordinals = (0, 1) if len(zones) > 1 else (0,)
    return tuple(f"valkey-{zone}-{ordinal}" for ordinal in ordinals for zone in zones)


EDGE_ID = edge_id()
(MESH_ID,) = mesh_ids((ZONE,))
(VALKEY,) = valkey_ids((ZONE,))


def mesh_socket(home: Home, name: str = MESH_ID) -> Path:
    """Where a control plane listens: for proxies, for health checks, for operators."""
    return home.instance(name) / "mesh.sock"


def fork_socket(home: Home) -> Path:
    """Where the fork server listens."""
    return home.instance(FORKSERVER) / "fork.sock"


def bus_of(node: str) -> str:
    """The name of the port by which a node of Valkey talks to others."""
    return f"{node}/bus"


def wishes(options: Options, kept: Mapping[str, int]) -> tuple[Wish, ...]:
    """The ports that are needed: two of each edge and of each Valkey, one for each instance that others call.

    `kept` has last time's. Without a choice the first edge insists on them: its clients know no others.
    """
    public, operator = f"{EDGE_ID}/public", f"{EDGE_ID}/operator"
    zones = zones_of(options, kept)

    def port(chosen: int | None, name: str, default: int) -> int:
        return kept.get(name, default) if chosen is None else chosen

    return (
        Wish(public, port(options.port, public, PUBLIC_PORT), "--port"),
        Wish(operator, port(options.operator_port, operator, OPERATOR_PORT), "--operator-port"),
        *(Wish(f"{edge_id(zone)}/{kind}") for zone in zones[1:] for kind in ("public", "operator")),
        *(Wish(instance_id(row.name, zone)) for zone in zones for row in SERVICES if row.apis),
        *(Wish(name) for node in valkey_ids(zones) for name in (node, bus_of(node))),
    )


def topology(home: Home, ports: Mapping[str, int], jwks: Path) -> Topology:
    """Every proxy of the zones that have ports."""
    zones = zones_of(Options(), ports)
    instances = tuple(_instance(home, row, zone, ports) for zone in zones for row in SERVICES)
    edges = tuple(_edge(home, zone, ports) for zone in zones)
    return Topology(instances, edges, home.pki / "ca.pem", jwks)


def _edge(home: Home, zone: str, ports: Mapping[str, int]) -> Edge:
    name = edge_id(zone)
    return Edge(
        id=name,
        zone=zone,
        address=LOOPBACK,
        public_port=ports[f"{name}/public"],
        operator_port=ports[f"{name}/operator"],
        admin_socket=home.instance(name) / "admin.sock",
        certificate=home.pki / f"{EDGE}.pem",
        key=home.pki / f"{EDGE}.key",
    )


def _instance(home: Home, row: Service, zone: str, ports: Mapping[str, int]) -> Instance:
    name = instance_id(row.name, zone)
    directory = home.instance(name)
    return Instance(
        id=name,
        service=row.name,
        zone=zone,
        address=LOOPBACK,
        port=ports.get(name, 0),
        app_socket=directory / "app.sock",
        egress_socket=directory / "egress.sock",
        admin_socket=directory / "admin.sock",
        certificate=home.pki / f"{row.name}.pem",
        key=home.pki / f"{row.name}.key",
    )


def zones_in(form: Topology) -> tuple[str, ...]:
    """The zones of a topology, in order."""
    return tuple(edge.zone for edge in form.edges)


def database_secrets(home: Home) -> Path:
    """One password file for each role."""
    return home.secrets / "database"


def stores(home: Home) -> tuple[Postgres, tuple[Valkey, ...]]:
    """The stores of a home whose ports are chosen.

    FileNotFoundError or ValkeyMissingError if their programs aren't installed.
    """
    postgres = Postgres(home.data / "postgres", home.instance(POSTGRES), database_secrets(home))
    form = places(ports.kept(home.ports))
    # A cluster of another size begins anew: what it holds may be thrown away.
    data = [home.data / f"{place.name}-of-{len(form)}" for place in form]
    return postgres, tuple(
        Valkey(place, form, directory, home.secrets) for place, directory in zip(form, data, strict=True)
    )


def places(ports: Mapping[str, int]) -> tuple[Place, ...]:
    """Where the nodes of Valkey are that have ports."""
    zones = zones_of(Options(), ports)
    return tuple(
        Place(
            name=name,
            zone=name.split("-")[1],
            port=ports[name],
            bus_port=ports[bus_of(name)],
            starts_as_primary=at < len(zones),
        )
        for at, name in enumerate(valkey_ids(zones))
        if name in ports
    )
