"""What an edge counts together, and what it leaves alone."""

from datetime import timedelta
from typing import Any

from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.service.discovery.v3 import Resource as Envelope
from hypothesis import given
from hypothesis import strategies as st

from mesh.resources import crowd
from mesh.resources.crowd import Room
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


PUBLIC = {api.name for row in catalog.SERVICES for api in row.apis if api.audience is Audience.PUBLIC}


def test_every_api_has_places_of_its_own_and_all_share_a_crowd_at_the_public_listener_alone() -> None:
    edge = Builder(catalog.SERVICES).build(topology("a"), '{"keys": []}', {})["edge-a-0"]
    order = filters(edge, "public")
    crowds = [name.removeprefix("crowd.") for name in order if name.startswith("crowd.")]
    assert set(crowds) == {*PUBLIC, crowd.ALL}
    # A refusal for one API must not be seen as a quick answer by what measures all.
    assert crowds[-1] == crowd.ALL
    # Whoever has no valid JWT is refused first, and takes nobody's place.
    assert order.index("jwt") < order.index(f"crowd.{crowds[0]}")
    assert not [name for name in filters(edge, "operator") if name.startswith("crowd.")]


def test_the_target_is_a_share_of_the_quickest_objective_and_long_calls_are_apart() -> None:
    found = {each.name: each for each in crowd.of(catalog.SERVICES, Room())}
    everybody = found.pop(crowd.ALL)
    assert timedelta(0) < everybody.target < min(row.objective_p95 for row in catalog.SERVICES)
    ingest = "reverie.ingest.v1.IngestService"
    assert {f"/{ingest}/{name}" for name in ("BatchCreate", "List", "StreamMemories")} <= set(everybody.apart)
    assert set(found[ingest].apart) < set(everybody.apart)


@given(cores=st.integers(1, 1_000), edges=st.integers(0, 9))
def test_edges_share_a_room_that_grows_with_the_cores_and_no_api_can_take_all_of_it(
    cores: int, edges: int
) -> None:
    room, more = Room.on(cores), Room.on(cores + 2)
    assert room.least < more.least
    assert room.most < more.most
    share = room.share(edges)
    assert share.least >= 1
    assert edges * share.least <= max(room.least, edges)
    *each, everybody = crowd.of(catalog.SERVICES, share)
    assert (everybody.least, everybody.most) == (share.least, share.most)
    assert {one.least for one in each} == {one.most for one in each} == {share.of_one_api}
    assert share.of_one_api <= everybody.most


def test_by_itself_a_room_is_what_fits_two_cores() -> None:
    assert Room.on(2) == Room()


def test_a_table_that_applications_do_not_call_has_no_crowd() -> None:
    assert crowd.of((catalog.ANALYSE,), Room()) == ()
