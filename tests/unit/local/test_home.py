import json
import os
from pathlib import Path
from uuid import uuid4

import pytest

from ops.local.home import ROOM_FOR_SOCKETS, SOCKET_BYTES, Endpoint, Home, HomeError, NotRunningError, fits
from ops.local.plan import EDGE_ID, MESH_ID, POSTGRES, instance_id, mesh_socket
from services.catalog import SERVICES


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_home_is_the_one_named_or_that_of_the_environment_or_the_usual_one() -> None:
    assert Home.locate(Path("/a"), {"REVERIE_HOME": "/b"}).root == Path("/a")
    assert Home.locate(None, {"REVERIE_HOME": "/b"}).root == Path("/b")
    assert Home.locate(None, {}).root == Path("~/.reverie").expanduser()
    assert Home.locate(None, {"REVERIE_HOME": ""}).root == Path("~/.reverie").expanduser()
    assert Home.locate(Path("here"), {}).root == Path.cwd() / "here"


def test_nobody_else_can_look_into_a_home(home: Home) -> None:
    home.create()
    parts = [home.root, home.run, home.log, home.data, home.secrets, home.pki, home.cache]
    assert {mode(part) for part in parts} == {0o700}


def test_a_home_that_was_open_is_closed(home: Home) -> None:
    home.root.mkdir(mode=0o755)
    home.create()
    assert mode(home.root) == 0o700


def test_a_directory_with_other_things_is_left_alone(home: Home) -> None:
    home.root.mkdir()
    (home.root / "thesis.txt").write_text("years of work")
    with pytest.raises(HomeError, match="is not empty and is no home"):
        home.create()
    assert [entry.name for entry in home.root.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_home(home: Home) -> None:
    home.root.write_text("")
    with pytest.raises(HomeError, match="name another home with --home"):
        home.create()


def test_a_home_of_another_format_is_refused(home: Home) -> None:
    home.create()
    (home.root / "home.json").write_text(json.dumps({"format": 99, "tenant": str(uuid4())}))
    with pytest.raises(HomeError, match="has format 99"):
        home.create()


def test_the_tenant_stays_the_same(home: Home) -> None:
    home.create()
    tenant = home.tenant()
    home.create()
    assert home.tenant() == tenant


def test_a_home_that_is_none_yet_has_no_tenant(home: Home) -> None:
    with pytest.raises(NotRunningError, match="is no home yet"):
        home.tenant()


def test_sockets_of_a_long_path_go_to_a_short_directory_that_every_command_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / ("x" * 120))
    monkeypatch.setattr("tempfile.tempdir", "/tmp")  # the run directory is shared by homes of one name
    home.create()
    run = home.run
    try:
        assert fits(run)
        assert mode(run) == 0o700
        assert not str(run).startswith(str(home.root))
        monkeypatch.setattr("tempfile.tempdir", "/somewhere/else")
        assert home.run == run
        home.create()
        assert home.run == run
    finally:
        home.remove()
    assert not run.exists()


def test_a_home_without_any_short_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("y" * 120)))
    with pytest.raises(HomeError, match="shorter TMPDIR"):
        Home(tmp_path / ("x" * 120)).create()


def test_every_socket_fits_below_the_longest_run_directory() -> None:
    longest = Path("/" + "r" * (SOCKET_BYTES - ROOM_FOR_SOCKETS - 1))
    assert fits(longest)
    assert not fits(Path(f"{longest}x"))
    home = Home(longest.parent)
    nodes = [*(instance_id(row.name) for row in SERVICES), EDGE_ID]
    sockets = [
        *(Path(node) / name for node in nodes for name in ("app.sock", "egress.sock", "admin.sock")),
        mesh_socket(home).relative_to(home.run),
        home.control.relative_to(home.run),
        home.instance(MESH_ID).relative_to(home.run) / "mesh.sock",
        Path(POSTGRES) / ".s.PGSQL.5432.lock",
    ]
    assert max(len(os.fsencode(longest / socket)) for socket in sockets) <= SOCKET_BYTES


def test_only_one_holds_a_home(home: Home) -> None:
    home.create()
    assert not home.is_locked()
    with home.lock():
        assert home.is_locked()
        with (
            pytest.raises(HomeError, match=r"already runs in .*: look at it with `reverie status`"),
            home.lock(),
        ):
            pass
    assert not home.is_locked()


def test_clients_find_what_was_published_while_somebody_supervises(home: Home) -> None:
    home.create()
    endpoint = Endpoint(("127.0.0.1:8443",), ("127.0.0.1:8444",), home.pki / "ca.pem", home.tenant())
    with home.lock():
        home.publish(endpoint)
        assert home.endpoint() == endpoint
        assert mode(home.root / "endpoint.json") == 0o600
    with pytest.raises(NotRunningError, match="start it with `reverie up`"):
        home.endpoint()


def test_clients_find_nothing_when_it_was_taken_back(home: Home) -> None:
    home.create()
    with home.lock():
        home.publish(Endpoint((), (), home.pki, home.tenant()))
        home.publish(None)
        with pytest.raises(NotRunningError, match="start it with `reverie up`"):
            home.endpoint()


def test_looking_at_the_lock_keeps_nobody_from_taking_it(home: Home) -> None:
    home.create()
    assert not home.is_locked()
    with home.lock():
        assert home.is_locked()
    assert not home.is_locked()
