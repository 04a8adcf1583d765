import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from mesh.topology import Topology, dump, load
from ops.local import plan
from ops.local.home import Home
from ops.local.plan import MIGRATE, POSTGRES, VALKEY, Options, Plan, instance_id, proxy_of
from ops.local.process import ProcessSpec, before, ordered
from services.catalog import SERVICES, Store, callees


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def form(home: Home) -> Topology:
    ports = {wish.name: 20_000 + at for at, wish in enumerate(plan.wishes(Options(), {}))}
    return plan.topology(home, ports, home.secrets / "jwks.json")


@pytest.fixture
def specs(home: Home, form: Topology) -> dict[str, ProcessSpec]:
    planned = Plan(home, Options(lanes=3, embedder="static"), form, *plan.stores(home))
    return {spec.name: spec for spec in ordered(planned.processes())}


def test_every_service_of_the_catalog_has_an_instance_and_a_proxy_of_its_own(
    form: Topology, specs: dict[str, ProcessSpec]
) -> None:
    assert {instance.service for instance in form.instances} == {row.name for row in SERVICES}
    for row in SERVICES:
        assert instance_id(row.name) in specs
        assert proxy_of(instance_id(row.name)) in specs


def test_the_control_plane_reads_the_topology_as_it_was_written(form: Topology, tmp_path: Path) -> None:
    dump(form, tmp_path / "topology.json")
    assert load(tmp_path / "topology.json") == form


def test_a_service_that_keeps_state_in_the_database_starts_after_the_migration(
    specs: dict[str, ProcessSpec],
) -> None:
    for row in SERVICES:
        gated = MIGRATE in specs[instance_id(row.name)].depends_on
        assert gated == (Store.POSTGRES in row.stores)
    assert specs[MIGRATE].depends_on == (POSTGRES,)
    assert specs[MIGRATE].is_one_shot


def test_no_start_waits_for_valkey(specs: dict[str, ProcessSpec]) -> None:
    assert not [spec for spec in specs.values() if VALKEY in spec.depends_on]


def test_what_a_service_needs_is_stopped_after_it(specs: dict[str, ProcessSpec]) -> None:
    for row in SERVICES:
        later = before(specs[instance_id(row.name)])
        assert proxy_of(instance_id(row.name)) in later
        assert {instance_id(name) for name in callees(row)} <= set(later)
        assert (POSTGRES in later) == (Store.POSTGRES in row.stores)
        assert (VALKEY in later) == (Store.VALKEY in row.stores)


def test_the_edge_is_stopped_before_every_service(specs: dict[str, ProcessSpec]) -> None:
    assert {instance_id(row.name) for row in SERVICES} <= set(before(specs[plan.EDGE_ID]))


def test_proxies_start_when_their_control_plane_is_there(specs: dict[str, ProcessSpec]) -> None:
    for row in SERVICES:
        assert specs[proxy_of(instance_id(row.name))].depends_on == (plan.MESH_ID,)


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


def test_processes_run_in_directories_that_are_made_for_them(
    home: Home, form: Topology, specs: dict[str, ProcessSpec]
) -> None:
    made = set(Plan(home, Options(), form, *plan.stores(home)).directories())
    assert {spec.directory for spec in specs.values()} <= made
