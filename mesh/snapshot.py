"""Snapshots: all that each proxy is to be told, worked out from the catalog, the topology and who is well.

    builder = Builder(catalog.SERVICES)
    snapshots = builder.build(topology, jwks, conditions)     # by node id

The same input gives the same bytes. What did not change since the last build is not built again: a change of
one endpoint costs a millisecond, however many proxies there are.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any as Anything

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.service.discovery.v3 import Resource as Envelope
from envoy_data_plane.google.protobuf import Any
from pydantic import ValidationError

from mesh import rights
from mesh.resources import cluster, crowd, endpoint, listener, route
from mesh.resources.crowd import Room
from mesh.resources.endpoint import Condition
from mesh.resources.tls import Credentials
from mesh.topology import Edge, Instance, Topology, TopologyError
from mesh.wire import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, Snapshot
from services.catalog import Api, Service, Table, callees

Callees = Mapping[str, tuple[Api, ...]]

_EDGE_LISTENERS = {listener.PUBLIC: rights.PUBLIC, listener.OPERATOR: rights.OPERATOR}
_VERSION_DIGITS = 16


class Builder:
    """Builds snapshots, and remembers each resource by what it was made of."""

    def __init__(self, table: Table, room: Room = Room()) -> None:  # noqa: B008  (frozen)
        """`room`: what all edges together let in."""
        self._table = table
        self._room = room
        self._rows = {row.name: row for row in table}
        self._made: dict[Hashable, Resource] = {}
        self._used: dict[Hashable, Resource] = {}

    def build(
        self, topology: Topology, jwks: str, conditions: Mapping[str, Condition]
    ) -> dict[str, Snapshot]:
        """A snapshot for each proxy. `jwks`: the text of the topology's file of callers' keys.

        Raises TopologyError if there are instances of an unknown service.
        """
        self._used = {}
        snapshots: dict[str, Snapshot] = {
            instance.id: self._sidecar(instance, topology, conditions) for instance in topology.instances
        }
        snapshots |= {edge.id: self._edge(edge, topology, jwks, conditions) for edge in topology.edges}
        self._made = self._used
        return snapshots

    def _sidecar(
        self, instance: Instance, topology: Topology, conditions: Mapping[str, Condition]
    ) -> Snapshot:
        row, own = self._row(instance.service), Credentials.of(instance, topology)
        called = callees(row, self._table)
        clusters, endpoints = self._callees(called, own, instance.zone, topology, conditions)
        listeners, routes = [], []
        if row.apis and instance.port:
            clusters.append(self._resource(cluster.app, instance.app_socket, row.breaker))
            routes.append(self._resource(route.inbound, listener.INBOUND, row, self._table, own.trust_domain))
            listeners.append(
                self._listener(routes[-1], listener.inbound, instance.address, instance.port, own)
            )
        if called:
            routes.append(self._resource(route.outbound, listener.OUTBOUND, row, self._table))
            listeners.append(self._listener(routes[-1], listener.outbound, instance.egress_socket))
        return _snapshot(clusters, endpoints, listeners, routes)

    def _edge(
        self, edge: Edge, topology: Topology, jwks: str, conditions: Mapping[str, Condition]
    ) -> Snapshot:
        own = Credentials.of(edge, topology)
        called: dict[str, tuple[Api, ...]] = {}
        for offers in rights.offered(self._table, rights.OPERATOR).values():
            for row, api in offers:
                called[row.name] = (*called.get(row.name, ()), api)
        clusters, endpoints = self._callees(called, own, edge.zone, topology, conditions)
        clusters.append(self._resource(cluster.health, edge.health_socket))
        listeners, routes = [self._resource(listener.health, edge.health_socket)], []
        ports = {listener.PUBLIC: edge.public_port, listener.OPERATOR: edge.operator_port}
        room = self._room.share(len(topology.edges))
        for name, audiences in _EDGE_LISTENERS.items():
            routes.append(self._resource(route.edge, name, self._table, audiences))
            # Operators come in however great the crowd is.
            crowds = crowd.of(self._table, room) if name == listener.PUBLIC else ()
            made = (name, edge.address, ports[name], own, jwks, crowds)
            listeners.append(self._listener(routes[-1], listener.edge, *made))
        return _snapshot(clusters, endpoints, listeners, routes)

    def _callees(
        self,
        called: Callees,
        own: Credentials,
        zone: str,
        topology: Topology,
        conditions: Mapping[str, Condition],
    ) -> tuple[list[Resource], list[Resource]]:
        """Clusters and endpoints of services that a proxy in a zone sends calls to."""
        clusters: list[Resource] = []
        endpoints: list[Resource] = []
        for service, apis in called.items():
            row, members = self._row(service), endpoint.places(topology.of(service), conditions)
            for affine in sorted({api.affinity is not None for api in apis}):
                clusters.append(self._resource(cluster.callee, row, own, affine=affine))
                name = clusters[-1].name
                endpoints.append(
                    self._resource(endpoint.alike, name, members)
                    if affine
                    else self._resource(endpoint.nearest_first, name, members, zone)
                )
        return clusters, endpoints

    def _listener(self, routes: Resource, make: Callable[..., Message], *of: Hashable) -> Resource:
        # A listener opens its port when its routes are there, so it waits for the same clusters.
        return replace(self._resource(make, *of), needs=routes.needs)

    def _resource(self, make: Callable[..., Message], *of: Hashable, **named: Hashable) -> Resource:
        recipe = (make, of, *named.items())
        made = self._used.get(recipe) or self._made.get(recipe) or _checked(make, of, named)
        self._used[recipe] = made
        return made

    def _row(self, name: str) -> Service:
        if name not in self._rows:
            known = ", ".join(self._rows)
            raise TopologyError(f"there are instances of {name!r}, but the catalog lists only {known}")
        return self._rows[name]


def _checked(make: Callable[..., Message], of: Iterable[Hashable], named: Mapping[str, Hashable]) -> Resource:
    try:
        return encode(make(*of, **named))
    except ValidationError as error:
        raise TopologyError(f"Envoy's messages can't hold this: {error}") from error


def encode(message: Anything) -> Resource:
    """A message of Envoy as a resource. Raises pydantic's ValidationError for values out of range."""
    packed = Any.pack(message)
    version = hashlib.sha256(packed.value).hexdigest()[:_VERSION_DIGITS]
    name = message.cluster_name if isinstance(message, ClusterLoadAssignment) else message.name
    body = bytes(Envelope(name=name, version=version, resource=packed))
    if isinstance(message, RouteConfiguration):
        return Resource(name, version, body, needs=route.clusters(message))
    if isinstance(message, Cluster) and message.eds_cluster_config is not None:
        return Resource(name, version, body, endpoints=message.eds_cluster_config.service_name)
    return Resource(name, version, body)


def _snapshot(
    clusters: Iterable[Resource],
    endpoints: Iterable[Resource],
    listeners: Iterable[Resource],
    routes: Iterable[Resource],
) -> Snapshot:
    resources = {CLUSTER: clusters, ENDPOINT: endpoints, LISTENER: listeners, ROUTE: routes}
    return {kind: {resource.name: resource for resource in made} for kind, made in resources.items()}
