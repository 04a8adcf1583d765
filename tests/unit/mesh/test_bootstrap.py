"""What an Envoy is started with."""

import json
from pathlib import Path

import pytest

from mesh.bootstrap import bootstrap, command


def made() -> dict[str, object]:
    return bootstrap("query-a-0", "query", "a", Path("/run/admin.sock"), Path("/run/mesh.sock"))


def test_it_says_who_it_is_and_asks_for_everything_else() -> None:
    value = json.loads(json.dumps(made()))
    assert value["node"] == {"id": "query-a-0", "cluster": "query", "locality": {"zone": "a"}}
    dynamic = value["dynamic_resources"]
    assert dynamic["ads_config"]["api_type"] == "DELTA_GRPC"
    assert dynamic["ads_config"]["set_node_on_first_message_only"]
    assert dynamic["cds_config"]["ads"] == dynamic["lds_config"]["ads"] == {}
    assert "listeners" not in value["static_resources"]


def test_it_knows_every_control_plane_and_which_is_the_nearest() -> None:
    sockets = [Path("/run/mesh-a.sock"), Path("/run/mesh-b.sock")]
    value = bootstrap("query-a-0", "query", "a", Path("/run/admin.sock"), *sockets)
    (cluster,) = value["static_resources"]["clusters"]
    ranks = {
        rank["lb_endpoints"][0]["endpoint"]["address"]["pipe"]["path"]: rank["priority"]
        for rank in cluster["load_assignment"]["endpoints"]
    }
    assert ranks == {"/run/mesh-a.sock": 0, "/run/mesh-b.sock": 1}
    with pytest.raises(ValueError, match="at least one"):
        bootstrap("query-a-0", "query", "a", Path("/run/admin.sock"))


def test_its_admin_interface_is_a_socket_for_its_owner_alone() -> None:
    value = json.loads(json.dumps(made()))
    assert value["admin"]["address"] == {"pipe": {"path": "/run/admin.sock", "mode": 0o600}}


def test_many_of_them_can_run_on_one_machine() -> None:
    binary, *arguments = command(Path("/run/bootstrap.json"))
    assert Path(binary).is_file()
    assert arguments == [
        *("--config-path", "/run/bootstrap.json"),
        *("--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"),
        *("--file-flush-interval-msec", "1000"),
        *("--drain-strategy", "immediate"),
    ]
