"""What is read of an Envoy's requests: of one that begins a stream, a few hundred of its 60,000 bytes."""

from dataclasses import dataclass

from betterproto2 import TYPE_MAP, TYPE_MESSAGE, TYPE_STRING, Message, field, map_meta
from envoy_data_plane.google.rpc import Status


@dataclass(eq=False, repr=False)
class Node(Message):
    """envoy.config.core.v3.Node, without the list of everything that is compiled into it."""

    id: str = field(1, TYPE_STRING)


@dataclass(eq=False, repr=False)
class DeltaRequest(Message):
    """envoy.service.discovery.v3.DeltaDiscoveryRequest, as far as it is looked at."""

    node: Node | None = field(1, TYPE_MESSAGE, optional=True)
    type_url: str = field(2, TYPE_STRING)
    resource_names_subscribe: list[str] = field(3, TYPE_STRING, repeated=True)
    resource_names_unsubscribe: list[str] = field(4, TYPE_STRING, repeated=True)
    initial_resource_versions: dict[str, str] = field(
        5, TYPE_MAP, map_meta=map_meta(TYPE_STRING, TYPE_STRING)
    )
    response_nonce: str = field(6, TYPE_STRING)
    error_detail: Status | None = field(7, TYPE_MESSAGE, optional=True)
