"""Endpoints: which instances of a service take calls now."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

from envoy_data_plane.envoy.config.core.v3 import Address, HealthStatus, Locality, Pipe, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)

from mesh.topology import Edge, Instance

_Member = TypeVar("_Member")


class Condition(Enum):
    """How an instance is, as far as the control plane can tell."""

    SERVING = "serving"
    """It says so; assumed of those that could not be asked yet."""
    LEAVING = "leaving"
    """It says that it takes no calls: it starts or drains."""
    LOST = "lost"
    """It can't be reached. That may be the fault of the one who asks."""


@dataclass(frozen=True, slots=True)
class Place:
    """What matters about an instance to whoever balances over it."""

    zone: str
    address: str
    port: int
    healthy: bool


def places(instances: Iterable[Instance], conditions: Mapping[str, Condition]) -> tuple[Place, ...]:
    """Where a service may be called, by zone. What is leaving is left out; what is lost is marked.

    So a caller that finds everybody lost still tries them all (Envoy's panic), in case that it is the control
    plane that is blind. Instances that are not in `conditions` count as serving.
    """
    found = [
        Place(instance.zone, instance.address, instance.port, healthy=condition is not Condition.LOST)
        for instance in instances
        if (condition := conditions.get(instance.id, Condition.SERVING)) is not Condition.LEAVING
        and instance.port
    ]
    return tuple(sorted(found, key=attrgetter("zone", "address", "port")))


def callee(service: str, members: tuple[Place, ...]) -> ClusterLoadAssignment:
    """A service's endpoints, one locality a zone. Without members it is empty, which is an answer too."""
    return ClusterLoadAssignment(cluster_name=service, endpoints=_by_zone(members, _endpoint))


def peers(name: str, nodes: tuple[Instance | Edge, ...]) -> ClusterLoadAssignment:
    """The proxies of one's own kind. Nobody calls them by this: only how many are in which zone counts."""
    ordered = tuple(sorted(nodes, key=attrgetter("zone", "id")))
    return ClusterLoadAssignment(cluster_name=name, endpoints=_by_zone(ordered, _peer))


def _by_zone(
    members: Iterable[_Member], endpoint: Callable[[_Member], LbEndpoint]
) -> list[LocalityLbEndpoints]:
    return [
        LocalityLbEndpoints(locality=Locality(zone=zone), lb_endpoints=[endpoint(member) for member in group])
        for zone, group in groupby(members, attrgetter("zone"))
    ]


def _endpoint(place: Place) -> LbEndpoint:
    address = Address(socket_address=SocketAddress(address=place.address, port_value=place.port))
    health = HealthStatus.UNKNOWN if place.healthy else HealthStatus.UNHEALTHY
    return LbEndpoint(endpoint=Endpoint(address=address), health_status=health)


def _peer(node: Instance | Edge) -> LbEndpoint:
    # Any address that is unique will do; a worker has no port.
    return LbEndpoint(endpoint=Endpoint(address=Address(pipe=Pipe(path=str(node.admin_socket)))))
