"""What is joined by hand is what a parser of protobuf takes it for."""

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryResponse
from hypothesis import given
from hypothesis import strategies as st

from mesh import wire
from mesh.snapshot import encode


@given(st.lists(st.text(min_size=1, max_size=300), unique=True, max_size=4), st.lists(st.text(max_size=40)))
def test_a_response_parses_to_what_went_into_it(names: list[str], removed: list[str]) -> None:
    resources = [encode(Cluster(name=name)) for name in names]
    parsed = DeltaDiscoveryResponse.parse(wire.response(wire.CLUSTER, resources, removed, "17"))
    assert parsed.type_url == wire.CLUSTER
    assert parsed.nonce == "17"
    assert parsed.removed_resources == removed
    assert [(resource.name, resource.version) for resource in parsed.resources] == [
        (resource.name, resource.version) for resource in resources
    ]
    packed = [resource.resource for resource in parsed.resources]
    assert [any_.unpack() for any_ in packed if any_ is not None] == [Cluster(name=name) for name in names]


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_back(number: int) -> None:
    value = 0
    for position, byte in enumerate(wire.varint(number)):
        value |= (byte & 0x7F) << (7 * position)
    assert value == number
    assert wire.varint(number)[-1] < 0x80
