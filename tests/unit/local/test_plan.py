import json
import signal
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from mesh.topology import Topology, dump, load
from ops.local import plan
from ops.local.home import Home, HomeError
from ops.local.plan import MIGRATE, POSTGRES, Options, instance_id, proxy_of
from ops.local.postgres import SETTINGS
from ops.local.process import ProcessSpec, before, ordered
from ops.local.processes import DRAIN, Plan
from services.catalog import SERVICES, Service, Store, callees
from services.ingest.streaming import StreamSettings
from services.runtime.config import ServiceConfig
from services.storage.config import StorageConfig


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture(params=[1, 3])
def options(request: pytest.FixtureRequest) -> Options:
    return Options(zones=request.param, lanes=3, embedder="static")


@pytest.fixture
def zones(options: Options) -> tuple[str, ...]:
    return plan.zones_of(options, {})


@pytest.fixture
def form(home: Home, options: Options) -> Topology:
    ports = {wish.name: 20_000 + at for at, wish in enumerate(plan.wishes(options, {}))}
    home.ports.write_text(json.dumps(ports))
    return plan.topology(home, ports, home.secrets / "jwks.json")


@pytest.fixture
def specs(home: Home, options: Options, form: Topology) -> dict[str, ProcessSpec]:
    planned = Plan(home, options, form, *plan.stores(home))
    return {spec.name: spec for spec in ordered(planned.processes())}


def everywhere(zones: tuple[str, ...]) -> list[tuple[Service, str]]:
    return [(row, zone) for row in SERVICES for zone in zones]


@pytest.mark.parametrize("zones", [0, 2, 4, -1])
def test_two_zones_are_refused_as_neither_would_know_who_is_right(zones: int) -> None:
    with pytest.raises(HomeError, match=f"1 zone or 3, not {zones}: .* --zones"):
        Options(zones=zones)


def test_a_home_keeps_its_zones_until_others_are_chosen() -> None:
    assert plan.zones_of(Options(), {}) == ("a",)
    three = {wish.name: 1 for wish in plan.wishes(Options(zones=3), {})}
    assert plan.zones_of(Options(), three) == ("a", "b", "c")
    assert plan.zones_of(Options(zones=1), three) == ("a",)


def test_every_service_of_the_catalog_has_an_instance_and_a_proxy_of_its_own_in_each_zone(
    zones: tuple[str, ...], form: Topology, specs: dict[str, ProcessSpec]
) -> None:
    assert {(one.service, one.zone) for one in form.instances} == {
        (row.name, zone) for row, zone in everywhere(zones)
    }
    assert [edge.zone for edge in form.edges] == list(zones)
    for row, zone in everywhere(zones):
        assert instance_id(row.name, zone) in specs
        assert proxy_of(instance_id(row.name, zone)) in specs


def test_there_are_two_control_planes_where_there_are_several_zones(
    zones: tuple[str, ...], specs: dict[str, ProcessSpec]
) -> None:
    meshes = {name for name in specs if name.startswith("mesh-")}
    assert meshes == ({"mesh-a-0"} if len(zones) == 1 else {"mesh-a-0", "mesh-b-0"})


def test_proxies_prefer_the_control_plane_of_their_zone(
    home: Home, zones: tuple[str, ...], form: Topology, specs: dict[str, ProcessSpec]
) -> None:
    preferred = {}
    for instance in form.instances:
        home.instance(instance.id).mkdir()
        prepare = specs[proxy_of(instance.id)].prepare
        assert prepare
        prepare()
        text = (home.instance(instance.id) / "bootstrap.json").read_text()
        preferred[instance.zone] = min(plan.mesh_ids(zones), key=lambda mesh: text.find(f"/{mesh}/"))
    expected = {"a": "mesh-a-0", "b": "mesh-b-0", "c": "mesh-a-0"}
    assert preferred == {zone: expected[zone] for zone in zones}


def test_each_part_of_valkey_has_a_node_in_two_zones(zones: tuple[str, ...], form: Topology) -> None:
    ports = {wish.name: 1 for wish in plan.wishes(Options(zones=len(form.edges)), {})}
    places = plan.places(ports)
    assert [place.zone for place in places if place.starts_as_primary] == list(zones)
    assert [place.zone for place in places if not place.starts_as_primary] == list(zones[1:] and zones)


def test_the_control_plane_reads_the_topology_as_it_was_written(form: Topology, tmp_path: Path) -> None:
    dump(form, tmp_path / "topology.json")
    assert load(tmp_path / "topology.json") == form


def test_a_service_that_keeps_state_in_the_database_starts_after_the_migration(
    zones: tuple[str, ...],
    specs: dict[str, ProcessSpec],
) -> None:
    for row, zone in everywhere(zones):
        gated = MIGRATE in specs[instance_id(row.name, zone)].depends_on
        assert gated == (Store.POSTGRES in row.stores)
    assert specs[MIGRATE].depends_on == (POSTGRES,)
    assert specs[MIGRATE].is_one_shot


def test_no_start_waits_for_valkey(specs: dict[str, ProcessSpec]) -> None:
    assert not [name for spec in specs.values() for name in spec.depends_on if name.startswith("valkey-")]


def test_what_a_service_needs_is_stopped_after_it(
    zones: tuple[str, ...], specs: dict[str, ProcessSpec]
) -> None:
    for row, zone in everywhere(zones):
        later = before(specs[instance_id(row.name, zone)])
        assert proxy_of(instance_id(row.name, zone)) in later
        assert {instance_id(name, other) for name in callees(row) for other in zones} <= set(later)
        assert (POSTGRES in later) == (Store.POSTGRES in row.stores)
        nodes = set(plan.valkey_ids(zones)) if Store.VALKEY in row.stores else set()
        assert {name for name in later if name.startswith("valkey-")} == nodes


def test_edges_are_stopped_before_every_service(
    zones: tuple[str, ...], specs: dict[str, ProcessSpec]
) -> None:
    services = {instance_id(row.name, zone) for row, zone in everywhere(zones)}
    for zone in zones:
        assert services <= set(before(specs[plan.edge_id(zone)]))


def test_proxies_start_when_their_control_plane_is_there(specs: dict[str, ProcessSpec]) -> None:
    for row in SERVICES:
        assert specs[proxy_of(instance_id(row.name))].depends_on == (plan.MESH_ID,)
    for name in (name for name in specs if name.endswith(".proxy")):
        (needed,) = specs[name].depends_on
        assert needed.startswith("mesh-")


def test_services_are_told_what_they_need_and_no_more(home: Home, specs: dict[str, ProcessSpec]) -> None:
    storage, ingest = specs["storage-a-0"], specs["ingest-a-0"]
    assert storage.argv == (sys.executable, "-m", "services.storage")
    assert storage.env["REVERIE_DATABASE_SOCKET"] == str(home.instance(POSTGRES))
    assert ingest.env["REVERIE_LANES"] == "3"
    assert ingest.env["REVERIE_EMBEDDER"] == "static"
    assert not [name for name in ingest.env if "DATABASE" in name or "VALKEY" in name]


def test_secrets_are_named_by_file_only(home: Home, specs: dict[str, ProcessSpec]) -> None:
    secrets = {path.read_text().strip() for path in home.secrets.rglob("*") if path.is_file()}
    for spec in specs.values():
        assert not secrets & {*spec.argv, *spec.env.values()}


def test_postgres_stops_fast_and_has_time_for_it(specs: dict[str, ProcessSpec]) -> None:
    assert specs[POSTGRES].stop_signal is signal.SIGINT
    assert specs[POSTGRES].grace >= timedelta(seconds=30)


def test_a_service_is_not_killed_while_it_waits_for_a_stream_that_nobody_reads(
    specs: dict[str, ProcessSpec],
) -> None:
    streams = timedelta(seconds=StreamSettings().drain)
    calls = timedelta(seconds=ServiceConfig.model_fields["stop_grace_seconds"].default)
    assert specs["ingest-a-0"].grace > DRAIN + streams + calls


def test_the_database_has_room_for_every_pool_of_every_storage(tmp_path: Path) -> None:
    config = StorageConfig(
        instance="storage-a-0",
        zone="a",
        app_socket=tmp_path,
        token_keys=tmp_path,
        database_socket=tmp_path,
        database_secrets=tmp_path,
    )
    pools = sum(asdict(config.pool_sizes).values())
    # And as many again of a zone that was killed, until the database has noticed.
    assert 4 * pools < int(SETTINGS["max_connections"])


def test_processes_run_in_directories_that_are_made_for_them(
    home: Home, options: Options, form: Topology, specs: dict[str, ProcessSpec]
) -> None:
    made = set(Plan(home, options, form, *plan.stores(home)).directories())
    assert {spec.directory for spec in specs.values()} <= made
