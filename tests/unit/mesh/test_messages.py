"""Cheaper messages are the same messages."""

import pytest
from betterproto2 import Message
from envoy_data_plane.envoy.config.core.v3 import SocketAddress
from pydantic import ValidationError

from mesh import messages
from mesh.snapshot import Builder
from services.catalog import SERVICES
from tests.unit.mesh.world import topology


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_type_hints", "_validate"):
        monkeypatch.setattr(Message, name, vars(Message)[name])
    messages.remember()


def test_snapshots_have_the_same_bytes(request: pytest.FixtureRequest) -> None:
    plain = Builder(SERVICES).build(topology("ab"), "{}", {})
    request.getfixturevalue("remembering")
    assert Builder(SERVICES).build(topology("ab"), "{}", {}) == plain


@pytest.mark.usefixtures("remembering")
def test_a_value_that_is_set_later_is_checked_before_it_is_sent() -> None:
    address = SocketAddress(address="127.0.0.1", port_value=80)
    assert SocketAddress.parse(bytes(address)) == address
    address.port_value = 2**32
    with pytest.raises(ValidationError):
        bytes(address)
