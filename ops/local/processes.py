"""The processes of a home, from its topology. Pure."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from mesh.bootstrap import bootstrap, command
from mesh.topology import EDGE, Instance, Topology
from ops.local import forkserver, identity, plan, probes, valkey
from ops.local.draining import EdgeDrained
from ops.local.home import Home
from ops.local.plan import FORKSERVER, MIGRATE, POSTGRES, Options, instance_id, mesh_socket, proxy_of
from ops.local.postgres import DATABASE, Postgres
from ops.local.postgres import STOP_SIGNAL as POSTGRES_STOP_SIGNAL
from ops.local.process import ProcessSpec, RestartPolicy
from ops.local.valkey import Valkey
from services.catalog import SERVICES, Service, Store, callees, service
from services.runtime import engine, files

EDGE_GRACE = timedelta(seconds=10)
"""Half of it is for the calls under way when an edge is stopped."""
DRAIN = timedelta(milliseconds=300)
"""How long a service takes calls after its health check fails. The mesh watches it, so proxies know in some
10 ms."""

_MESH = "mesh"
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Two cores have other work: with a thread on each, ranking waits for them, 6 ms in place of 1. And a fork
server must not have any."""


class Plan:
    """What runs, how it starts, and in which order it stops."""

    def __init__(
        self, home: Home, options: Options, form: Topology, postgres: Postgres, nodes: Sequence[Valkey]
    ) -> None:
        self._home = home
        self._options = options
        self._form = form
        self._postgres = postgres
        self._valkeys = tuple(nodes)
        self._zones = plan.zones_in(form)
        self._meshes = plan.mesh_ids(self._zones)

    def processes(self) -> tuple[ProcessSpec, ...]:
        """All of them. What is slow to start waits only for what it can't start without."""
        return (
            self._fork_server(),
            self._postgres_node(),
            self._migration(),
            *map(self._mesh, self._meshes),
            *map(self._valkey_node, self._valkeys),
            *self._instances(),
            *self._edges(),
        )

    def directories(self) -> tuple[Path, ...]:
        """Where the processes run: to be there before they start."""
        nodes = [instance.id for instance in self._form.instances] + [edge.id for edge in self._form.edges]
        stores = (FORKSERVER, POSTGRES, *(node.place.name for node in self._valkeys))
        return tuple(self._home.instance(name) for name in (*stores, *self._meshes, *nodes))

    def _instances(self) -> Iterator[ProcessSpec]:
        for instance in self._form.instances:
            yield self._proxy(instance.id, instance.service, instance.zone, instance.admin_socket)
            yield self._service(service(instance.service), instance)

    def _edges(self) -> Iterator[ProcessSpec]:
        everything = tuple(instance.id for instance in self._form.instances)
        for edge in self._form.edges:
            yield replace(
                self._proxy(edge.id, EDGE, edge.zone, edge.admin_socket),
                name=edge.id,
                outlived_by=everything,
                drain=EdgeDrained(edge.admin_socket),
                grace=EDGE_GRACE,
            )

    def _fork_server(self) -> ProcessSpec:
        socket = plan.fork_socket(self._home)
        modules = (*(_module_of(row) for row in SERVICES), _MESH)
        return ProcessSpec(
            name=FORKSERVER,
            argv=(sys.executable, "-m", forkserver.__name__, str(socket), *modules),
            env={**_ONE_THREAD, **engine.ENVIRONMENT, **forkserver.ENVIRONMENT},
            probe=probes.ForkServerAnswers(socket),
            # It loads what all of them need.
            start_within=timedelta(seconds=60),
            directory=self._home.instance(FORKSERVER),
        )

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

    def _valkey_node(self, node: Valkey) -> ProcessSpec:
        return ProcessSpec(
            name=node.place.name,
            argv=tuple(node.command()),
            env=node.environment(),
            prepare=node.prepare,
            probe=probes.ValkeyReady(node),
            directory=self._home.instance(node.place.name),
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

    def _mesh(self, name: str) -> ProcessSpec:
        socket = mesh_socket(self._home, name)
        return ProcessSpec(
            name=name,
            argv=(sys.executable, "-m", _MESH),
            module=_MESH,
            env={
                "REVERIE_MESH_SOCKET": str(socket),
                "REVERIE_TOPOLOGY": str(self._home.topology),
                "REVERIE_LOG_LEVEL": "info",
                **engine.ENVIRONMENT,
            },
            probe=probes.GrpcHealth(socket),
            depends_on=(FORKSERVER,),
            directory=self._home.instance(name),
        )

    def _proxy(self, node: str, kind: str, zone: str, admin_socket: Path) -> ProcessSpec:
        path = self._home.instance(node) / "bootstrap.json"
        meshes = self._meshes_of(zone)
        sockets = [mesh_socket(self._home, name) for name in meshes]

        def prepare() -> None:
            start = bootstrap(node, kind, zone, admin_socket, *sockets)
            files.replace(path, json.dumps(start, indent=2) + "\n")

        return ProcessSpec(
            name=proxy_of(node),
            argv=tuple(command(path)),
            prepare=prepare,
            probe=probes.EnvoyLive(admin_socket),
            depends_on=meshes[:1],
            grace=timedelta(seconds=5),
            directory=self._home.instance(node),
        )

    def _meshes_of(self, zone: str) -> tuple[str, ...]:
        """The control planes of a zone's proxies: that of their own zone first."""
        first = self._zones.index(zone) % len(self._meshes)
        return (*self._meshes[first:], *self._meshes[:first])

    def _service(self, row: Service, instance: Instance) -> ProcessSpec:
        return ProcessSpec(
            name=instance.id,
            argv=(sys.executable, "-m", _module_of(row)),
            module=_module_of(row),
            env=self._environment(row, instance),
            probe=probes.GrpcHealth(instance.app_socket),
            depends_on=(FORKSERVER, *((MIGRATE,) if Store.POSTGRES in row.stores else ())),
            outlived_by=(proxy_of(instance.id), *self._stores(row), *self._callees(row)),
            start_within=timedelta(seconds=60),
            # Longer than ingest takes, which waits for its streams first, then for calls under way.
            grace=timedelta(seconds=30),
            directory=self._home.instance(instance.id),
        )

    def _stores(self, row: Service) -> Iterator[str]:
        if Store.POSTGRES in row.stores:
            yield POSTGRES
        if Store.VALKEY in row.stores:
            yield from (node.place.name for node in self._valkeys)

    def _callees(self, row: Service) -> Iterator[str]:
        """Those of other zones too: they answer where the own zone's do not."""
        return (instance_id(name, zone) for zone in self._zones for name in callees(row))

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
            **_ONE_THREAD,
            **engine.ENVIRONMENT,
        }
        if Store.POSTGRES in row.stores:
            found |= self._database()
        if Store.VALKEY in row.stores:
            found |= valkey.client_environment(self._valkeys)
        return found

    def _database(self) -> dict[str, str]:
        return {
            "REVERIE_DATABASE_SOCKET": str(self._home.instance(POSTGRES)),
            "REVERIE_DATABASE_NAME": DATABASE,
            "REVERIE_DATABASE_SECRETS": str(plan.database_secrets(self._home)),
        }


def _module_of(row: Service) -> str:
    return f"services.{row.name}"
