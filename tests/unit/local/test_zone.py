from ops.local.process import zone_of
from ops.local.zone import is_envoy


def test_the_zone_of_a_process_stands_in_its_name() -> None:
    names = ("storage-b-0", "storage-b-0.proxy", "edge-c-0", "valkey-a-1", "postgres", "migrate")
    assert [zone_of(name) for name in names] == ["b", "b", "c", "a", "", ""]


def test_edges_and_sidecars_are_envoys() -> None:
    envoys = {"storage-b-0.proxy", "edge-c-0"}
    others = {"storage-b-0", "mesh-a-0", "valkey-a-1", "postgres"}
    assert {name for name in envoys | others if is_envoy(name)} == envoys
