"""Endpoints: which instances of a service take calls now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from operator import attrgetter

from envoy_data_plane.envoy.config.core.v3 import Address, HealthStatus, Locality, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)

from mesh.topology import Instance


class Condition(Enum):
    """How an instance is, as far as the control plane can tell."""

    SERVING = "serving"
    """It says so; assumed of those that could not be asked yet."""
    LEAVING = "leaving"
    """It says that it takes no calls: it starts or drains."""
    SILENT = "silent"
    """It is there and does not answer: it has frozen, or the one who asks, or the machine, has no time."""
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
        Place(instance.zone, instance.address, instance.port, healthy=condition is Condition.SERVING)
        for instance in instances
        if (condition := conditions.get(instance.id, Condition.SERVING)) is not Condition.LEAVING
        and instance.port
    ]
    return tuple(sorted(found, key=attrgetter("zone", "address", "port")))


def nearest_first(cluster: str, members: tuple[Place, ...], zone: str) -> ClusterLoadAssignment:
    """A cluster's endpoints as a zone sees them: its own first, all others where those are not enough.

    Without members it is empty, which is an answer too.
    """
    near = [place for place in members if place.zone == zone]
    far = [place for place in members if place.zone != zone]
    # Envoy refuses a priority without any before it.
    ranks = [rank for rank in (near, far) if rank]
    return ClusterLoadAssignment(
        cluster_name=cluster,
        endpoints=[
            _locality(place_zone, group, priority)
            for priority, rank in enumerate(ranks)
            for place_zone, group in groupby(rank, attrgetter("zone"))
        ],
    )


def alike(cluster: str, members: tuple[Place, ...]) -> ClusterLoadAssignment:
    """A cluster's endpoints, those of every zone alike."""
    localities = [_locality(zone, group, 0) for zone, group in groupby(members, attrgetter("zone"))]
    return ClusterLoadAssignment(cluster_name=cluster, endpoints=localities)


def _locality(zone: str, places: Iterable[Place], priority: int) -> LocalityLbEndpoints:
    endpoints = [_endpoint(place) for place in places]
    return LocalityLbEndpoints(locality=Locality(zone=zone), lb_endpoints=endpoints, priority=priority)


def _endpoint(place: Place) -> LbEndpoint:
    address = Address(socket_address=SocketAddress(address=place.address, port_value=place.port))
    health = HealthStatus.UNKNOWN if place.healthy else HealthStatus.UNHEALTHY
    return LbEndpoint(endpoint=Endpoint(address=address), health_status=health)
