"""What an edge counts together, and what it leaves alone."""

from datetime import timedelta
from typing import Any

from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.service.discovery.v3 import Resource as Envelope

from mesh.resources import crowd
from mesh.snapshot import Builder
from mesh.wire import LISTENER, Snapshot
from services import catalog
from services.catalog import Audience
from tests.unit.mesh.world import topology


def filters(snapshot: Snapshot, listener: str) -> list[str]:
    packed = Envelope.parse(snapshot[LISTENER][listener].body).resource
    assert packed is not None
    made: Any = packed.unpack()
    assert isinstance(made, Listener)
    config = made.filter_chains[0].filters[-1].typed_config
    assert config is not None
    manager = config.unpack()
    assert isinstance(manager, HttpConnectionManager)
    return [each.name for each in manager.http_filters]


def test_every_api_of_applications_has_a_crowd_of_its_own_at_the_public_listener_alone() -> None:
    edge = Builder(catalog.SERVICES).build(topology("a"), '{"keys": []}', {})["edge-a-0"]
    public = {api.name for row in catalog.SERVICES for api in row.apis if api.audience is Audience.PUBLIC}
    crowds = {name.removeprefix("crowd.") for name in filters(edge, "public") if name.startswith("crowd.")}
    assert crowds == public
    # Whoever has no valid JWT is refused first, and takes nobody's place.
    order = filters(edge, "public")
    assert order.index("jwt") < min(order.index(f"crowd.{api}") for api in public)
    assert not [name for name in filters(edge, "operator") if name.startswith("crowd.")]


def test_the_target_is_a_share_of_the_objective_and_long_calls_are_apart() -> None:
    found = {each.api: each for each in crowd.of(catalog.SERVICES, edges=3)}
    ingest = found["reverie.ingest.v1.IngestService"]
    assert timedelta(0) < ingest.target < catalog.INGEST.objective_p95
    assert (ingest.least, ingest.most) == (crowd.LEAST // 3, crowd.MOST // 3)
    assert {"BatchCreate", "List", "StreamMemories"} <= set(ingest.apart)
