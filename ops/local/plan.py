"""What runs on one machine: from the catalog to a topology, and from that to processes. Pure.

services  one instance each, with a proxy of its own        {service}-a-0, {service}-a-0.proxy
mesh      the control plane of all proxies                  mesh-a-0
edge      the proxy through which applications come in      edge-a-0
stores    postgres, valkey; migrate runs before storage
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from mesh.bootstrap import bootstrap, command
from mesh.topology import EDGE, Edge, Instance, Topology
from ops.local import identity, probes
from ops.local.draining import EdgeDrained
from ops.local.embedders import Embedder
from ops.local.home import Home
from ops.local.ports import LOOPBACK, Wish
from ops.local.postgres import DATABASE, Postgres
from ops.local.postgres import STOP_SIGNAL as POSTGRES_STOP_SIGNAL
from ops.local.process import ProcessSpec, RestartPolicy
from ops.local.valkey import Valkey
from services.catalog import SERVICES, Service, Store, callees, service
from services.runtime import files

ZONE = "a"
MESH_ID = f"mesh-{ZONE}-0"
EDGE_ID = f"{EDGE}-{ZONE}-0"
POSTGRES = "postgres"
VALKEY = "valkey"
MIGRATE = "migrate"
PUBLIC_PORT = 8443
OPERATOR_PORT = 8444
EDGE_GRACE = timedelta(seconds=10)
"""Half of it is for the calls under way when an edge is stopped."""
DRAIN = timedelta(milliseconds=300)
"""How long a service takes calls after its health check fails. The mesh watches it, so proxies know in some
10 ms."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose when a platform starts."""

    port: int | None = None
    """Where applications come in; 0: any free one. None: as last time, else 8443."""
    operator_port: int | None = None
    """Where operators come in; 0: any free one. None: as last time, else 8444."""
    embedder: str = Embedder.MINILM
    """`static` is faster, and a little worse."""
    lanes: int = 1
    """How many batches of writes may be under way at a time."""


def proxy_of(instance: str) -> str:
    """The name of the process that is the proxy of an instance."""
    return f"{instance}.proxy"


def mesh_socket(home: Home) -> Path:
    """Where the control plane listens: for proxies, for health checks, for operators."""
    return home.instance(MESH_ID) / "mesh.sock"


def instance_id(service: str) -> str:
    """The id of the only instance of a service."""
    return f"{service}-{ZONE}-0"


def wishes(options: Options, kept: Mapping[str, int]) -> tuple[Wish, ...]:
    """The ports that are needed: both of the edge, and one for each service that others call.

    `kept` has last time's. Without a choice the edge insists on them: its clients know no others.
    """
    public, operator = f"{EDGE_ID}/public", f"{EDGE_ID}/operator"

    def port(chosen: int | None, name: str, default: int) -> int:
        return kept.get(name, default) if chosen is None else chosen

    return (
        Wish(public, port(options.port, public, PUBLIC_PORT), "--port"),
        Wish(operator, port(options.operator_port, operator, OPERATOR_PORT), "--operator-port"),
        *(Wish(instance_id(row.name)) for row in SERVICES if row.apis),
    )


def topology(home: Home, ports: Mapping[str, int], jwks: Path) -> Topology:
    """Every proxy of the one-zone form, with these ports."""
    edge = Edge(
        id=EDGE_ID,
        zone=ZONE,
        address=LOOPBACK,
        public_port=ports[f"{EDGE_ID}/public"],
        operator_port=ports[f"{EDGE_ID}/operator"],
        admin_socket=home.instance(EDGE_ID) / "admin.sock",
        certificate=home.pki / f"{EDGE}.pem",
        key=home.pki / f"{EDGE}.key",
    )
    instances = tuple(_instance(home, row, ports) for row in SERVICES)
    return Topology(instances, (edge,), home.pki / "ca.pem", jwks)


def _instance(home: Home, row: Service, ports: Mapping[str, int]) -> Instance:
    name = instance_id(row.name)
    directory = home.instance(name)
    return Instance(
        id=name,
        service=row.name,
        zone=ZONE,
        address=LOOPBACK,
        port=ports.get(name, 0),
        app_socket=directory / "app.sock",
        egress_socket=directory / "egress.sock",
        admin_socket=directory / "admin.sock",
        certificate=home.pki / f"{row.name}.pem",
        key=home.pki / f"{row.name}.key",
    )


class Plan:
    """The processes of a home, from its topology."""

    def __init__(
        self, home: Home, options: Options, form: Topology, postgres: Postgres, valkey: Valkey
    ) -> None:
        self._home = home
        self._options = options
        self._form = form
        self._postgres = postgres
        self._valkey = valkey
        self._mesh_socket = mesh_socket(home)

    def processes(self) -> tuple[ProcessSpec, ...]:
        """All of them. What is slow to start waits only for what it can't start without."""
        found = [self._postgres_node(), self._migration(), self._valkey_node(), self._mesh()]
        for instance in self._form.instances:
            proxy = self._proxy(instance.id, instance.service, instance.zone, instance.admin_socket)
            found += [proxy, self._service(service(instance.service), instance)]
        everything = tuple(instance.id for instance in self._form.instances)
        found += [
            replace(
                self._proxy(edge.id, EDGE, edge.zone, edge.admin_socket),
                name=edge.id,
                outlived_by=everything,
                drain=EdgeDrained(edge.admin_socket),
                grace=EDGE_GRACE,
            )
            for edge in self._form.edges
        ]
        return tuple(found)

    def directories(self) -> tuple[Path, ...]:
        """Where the processes run: to be there before they start."""
        nodes = [*(node.id for node in self._form.instances), *(node.id for node in self._form.edges)]
        return tuple(self._home.instance(name) for name in (MESH_ID, POSTGRES, VALKEY, *nodes))

    def _postgres_node(self) -> ProcessSpec:
        return ProcessSpec(
            name=POSTGRES,
            argv=tuple(self._postgres.command()),
            env=self._postgres.environment(),
            prepare=self._postgres.prepare,
            probe=probes.PostgresReady(self._postgres),
            stop_signal=POSTGRES_STOP_SIGNAL,
            # Recovery after a crash, and the checkpoint of a shutdown, take seconds on a slow disk.
            start_within=timedelta(seconds=120),
            grace=timedelta(seconds=60),
            directory=self._home.instance(POSTGRES),
        )

    def _valkey_node(self) -> ProcessSpec:
        return ProcessSpec(
            name=VALKEY,
            argv=tuple(self._valkey.command()),
            env=self._valkey.environment(),
            prepare=self._valkey.prepare,
            probe=probes.ValkeyReady(self._valkey),
            directory=self._home.instance(VALKEY),
        )

    def _migration(self) -> ProcessSpec:
        return ProcessSpec(
            name=MIGRATE,
            argv=(sys.executable, "-m", "services.storage.migrate"),
            # Whose vectors answer, so which analyses become due.
            env={**self._database(), "REVERIE_EMBEDDER": self._options.embedder},
            depends_on=(POSTGRES,),
            start_within=timedelta(seconds=300),
            # What a database refuses once it refuses again.
            restart=RestartPolicy(attempts=2),
            directory=self._home.instance(POSTGRES),
        )

    def _mesh(self) -> ProcessSpec:
        return ProcessSpec(
            name=MESH_ID,
            argv=(sys.executable, "-m", "mesh"),
            env={
                "REVERIE_MESH_SOCKET": str(self._mesh_socket),
                "REVERIE_TOPOLOGY": str(self._home.topology),
                "REVERIE_LOG_LEVEL": "info",
            },
            probe=probes.GrpcHealth(self._mesh_socket),
            directory=self._home.instance(MESH_ID),
        )

    def _proxy(self, node: str, service: str, zone: str, admin_socket: Path) -> ProcessSpec:
        path = self._home.instance(node) / "bootstrap.json"

        def prepare() -> None:
            start = bootstrap(node, service, zone, admin_socket, self._mesh_socket)
            files.replace(path, json.dumps(start, indent=2) + "\n")

        return ProcessSpec(
            name=proxy_of(node),
            argv=tuple(command(path)),
            prepare=prepare,
            probe=probes.EnvoyLive(admin_socket),
            depends_on=(MESH_ID,),
            grace=timedelta(seconds=5),
            directory=self._home.instance(node),
        )

    def _service(self, row: Service, instance: Instance) -> ProcessSpec:
        needs_database = Store.POSTGRES in row.stores
        servers = {Store.POSTGRES: POSTGRES, Store.VALKEY: VALKEY}
        return ProcessSpec(
            name=instance.id,
            argv=(sys.executable, "-m", f"services.{row.name}"),
            env=self._environment(row, instance),
            probe=probes.GrpcHealth(instance.app_socket),
            depends_on=(MIGRATE,) if needs_database else (),
            outlived_by=(
                proxy_of(instance.id),
                *(servers[store] for store in row.stores),
                *(instance_id(name) for name in callees(row)),
            ),
            start_within=timedelta(seconds=60),
            # Longer than a service takes when it lets calls under way end.
            grace=timedelta(seconds=20),
            directory=self._home.instance(instance.id),
        )

    def _environment(self, row: Service, instance: Instance) -> dict[str, str]:
        found = {
            "REVERIE_INSTANCE": instance.id,
            "REVERIE_ZONE": instance.zone,
            "REVERIE_APP_SOCKET": str(instance.app_socket),
            "REVERIE_EGRESS_SOCKET": str(instance.egress_socket),
            "REVERIE_LOG_LEVEL": "info",
            "REVERIE_JWT_KEYS": str(self._form.jwks),
            "REVERIE_TOKEN_KEYS": str(identity.token_keys(self._home)),
            "REVERIE_EMBEDDER": self._options.embedder,
            "REVERIE_CACHE_DIR": str(self._home.cache),
            "REVERIE_LANES": str(self._options.lanes),
            "REVERIE_DRAIN_GRACE_SECONDS": str(DRAIN.total_seconds()),
            # Two cores have other work: with a thread on each, ranking waits for them, 6 ms in place of 1.
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        if Store.POSTGRES in row.stores:
            found |= self._database()
        if Store.VALKEY in row.stores:
            found |= self._valkey.client_environment()
        return found

    def _database(self) -> dict[str, str]:
        return {
            "REVERIE_DATABASE_SOCKET": str(self._home.instance(POSTGRES)),
            "REVERIE_DATABASE_NAME": DATABASE,
            "REVERIE_DATABASE_SECRETS": str(database_secrets(self._home)),
        }


def database_secrets(home: Home) -> Path:
    """One password file for each role."""
    return home.secrets / "database"


def stores(home: Home) -> tuple[Postgres, Valkey]:
    """The stores of a home. FileNotFoundError or ValkeyMissingError if their programs aren't installed."""
    postgres = Postgres(home.data / "postgres", home.instance(POSTGRES), database_secrets(home))
    valkey = Valkey(home.data / "valkey", home.instance(VALKEY) / "valkey.sock", home.secrets)
    return postgres, valkey
