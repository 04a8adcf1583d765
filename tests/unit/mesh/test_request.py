"""Envoy's requests are read from the bytes that it sends."""

from envoy_data_plane.envoy.config.core.v3 import Extension, Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest
from envoy_data_plane.google.rpc import Status

from mesh.request import DeltaRequest


def test_all_that_is_looked_at_arrives_and_the_rest_does_no_harm() -> None:
    sent = DeltaDiscoveryRequest(
        node=Node(id="query-a-0", cluster="query", extensions=[Extension(name="envoy.filters.http.router")]),
        type_url="type",
        resource_names_subscribe=["a", "b"],
        resource_names_unsubscribe=["c"],
        initial_resource_versions={"d": "1", "e": "2"},
        response_nonce="17",
        error_detail=Status(code=13, message="no such thing"),
    )
    read = DeltaRequest.parse(bytes(sent))
    assert read.node is not None
    assert read.node.id == "query-a-0"
    assert read.type_url == "type"
    assert read.resource_names_subscribe == ["a", "b"]
    assert read.resource_names_unsubscribe == ["c"]
    assert read.initial_resource_versions == {"d": "1", "e": "2"}
    assert read.response_nonce == "17"
    assert read.error_detail == sent.error_detail


def test_what_is_not_said_is_empty() -> None:
    read = DeltaRequest.parse(b"")
    assert read.node is None
    assert read.error_detail is None
    assert read.initial_resource_versions == {}
