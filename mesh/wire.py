"""Resources as they travel: encoded once when they are built, joined into responses as they are."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
"""Every type that is served, in the order in which a proxy must be told of new things."""

_LENGTH_DELIMITED = 2
# Field numbers of envoy.service.discovery.v3.DeltaDiscoveryResponse.
_RESOURCES, _TYPE_URL, _NONCE, _REMOVED = 2, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that a proxy is told, ready to be sent."""

    name: str
    version: str
    """A hash of its content: the same in every control plane, now and after a restart."""
    body: bytes
    """An encoded envoy.service.discovery.v3.Resource: name, version and content."""
    needs: frozenset[str] = frozenset()
    """Clusters that the proxy must be able to use before it is told of this."""
    endpoints: str | None = None
    """Of a cluster: the name under which it asks for its endpoints, if it does."""


Snapshot = Mapping[str, Mapping[str, Resource]]
"""Everything that one proxy is to be told, by type and name."""


def response(type_url: str, resources: Iterable[Resource], removed: Iterable[str], nonce: str) -> bytes:
    """An encoded DeltaDiscoveryResponse."""
    return b"".join(_response(type_url, resources, removed, nonce))


def _response(
    type_url: str, resources: Iterable[Resource], removed: Iterable[str], nonce: str
) -> Iterator[bytes]:
    for resource in resources:
        yield from _field(_RESOURCES, resource.body)
    yield from _field(_TYPE_URL, type_url.encode())
    yield from _field(_NONCE, nonce.encode())
    for name in removed:
        yield from _field(_REMOVED, name.encode())


def _field(number: int, content: bytes) -> tuple[bytes, bytes, bytes]:
    return varint(number << 3 | _LENGTH_DELIMITED), varint(len(content)), content


def varint(number: int) -> bytes:
    """Protobuf's variable-length form of a number that is not negative."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*groups, number))
