"""Reading what a proxy's admin interface says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.inspection import Bucket, Latencies, differences, latencies_of, newest
from mesh.wire import CLUSTER, ENDPOINT, LISTENER, ROUTE
from reverie.mesh.v1 import mesh_pb2

DUMP: dict[str, Any] = {
    "configs": [
        {
            "static_clusters": [{"cluster": {"name": "mesh"}}],
            "dynamic_active_clusters": [{"version_info": "c1", "cluster": {"name": "storage"}}],
            "dynamic_warming_clusters": [{"version_info": "c9", "cluster": {"name": "other"}}],
        },
        {
            "dynamic_listeners": [
                {"name": "inbound", "active_state": {"version_info": "l1"}},
                {"name": "outbound", "warming_state": {"version_info": "l1"}},
            ]
        },
        {"dynamic_route_configs": [{"version_info": "r1", "route_config": {"name": "inbound"}}]},
    ]
}


def proxy(
    states: dict[str, mesh_pb2.SyncState] | None = None, connected: bool = True, **wanted: dict[str, str]
) -> mesh_pb2.Proxy:
    versions = {
        CLUSTER: {"storage": "c1"},
        ENDPOINT: {"storage": "e1"},
        LISTENER: {"inbound": "l1"},
        ROUTE: {"inbound": "r1"},
    } | {{"cluster": CLUSTER, "listener": LISTENER}[kind]: names for kind, names in wanted.items()}
    types = [
        mesh_pb2.TypeStatus(
            type_url=kind,
            state=(states or {}).get(kind, mesh_pb2.SYNC_STATE_SYNCED),
            wanted=[mesh_pb2.ResourceVersion(name=name, version=it) for name, it in names.items()],
        )
        for kind, names in versions.items()
    ]
    return mesh_pb2.Proxy(node_id="storage-a-0", connected=connected, types=types)


def test_a_proxy_that_runs_with_what_it_should_is_in_sync() -> None:
    assert list(differences(DUMP, proxy())) == []


def test_every_difference_is_named() -> None:
    assert list(differences(DUMP, None)) == ["the control plane has not heard of it"]
    assert list(differences(DUMP, proxy(connected=False))) == ["not connected to the control plane"]
    found = list(
        differences(DUMP, proxy(cluster={"storage": "c2", "new": "c1"}, listener={"outbound": "l1"}))
    )
    assert found == [
        "Cluster: new is not active",
        "Cluster: storage runs with c1, not c2",
        "Listener: outbound is not active",
        "Listener: inbound should be gone",
    ]


def test_what_the_control_plane_says_of_endpoints_counts() -> None:
    refused = proxy({ENDPOINT: mesh_pb2.SYNC_STATE_REJECTED})
    refused.types[1].error = "storage: bad address"
    assert list(differences(DUMP, refused)) == ["ClusterLoadAssignment: refused: storage: bad address"]


def test_a_type_that_was_never_asked_for_counts_only_if_there_is_something_of_it() -> None:
    asked = proxy({LISTENER: mesh_pb2.SYNC_STATE_NOT_SENT}, listener={})
    dump = {"configs": [config for config in DUMP["configs"] if "dynamic_listeners" not in config]}
    assert list(differences(dump, asked)) == []


STATS: dict[str, Any] = {
    "stats": [
        {
            "histograms": {
                "details": [
                    {
                        "name": "http.inbound.downstream_rq_time",
                        "totals": [
                            {"lower_bound": 0, "width": 0, "count": 90},
                            {"lower_bound": 10, "width": 1, "count": 10},
                        ],
                    }
                ]
            }
        }
    ]
}


def test_quantiles_are_taken_from_the_buckets() -> None:
    latencies = latencies_of(STATS, "http.inbound.downstream_rq_time")
    assert latencies.count == 100
    assert latencies.quantile(0.5) == 0
    assert latencies.quantile(0.95) == pytest.approx(10.5)
    assert latencies.quantile(1.0) == 11


def test_without_calls_there_is_no_quantile() -> None:
    assert latencies_of(STATS, "http.outbound.downstream_rq_time").quantile(0.95) is None


BUCKETS = st.lists(st.builds(Bucket, st.floats(0, 100), st.floats(100, 200), st.integers(1, 50)), min_size=1)


@given(BUCKETS, BUCKETS)
def test_proxies_are_added_call_by_call(first: list[Bucket], second: list[Bucket]) -> None:
    both = Latencies(tuple(first)) + Latencies(tuple(second))
    assert both.count == sum(bucket.count for bucket in (*first, *second))
    quantile = both.quantile(0.95)
    assert quantile is not None
    assert (
        min(bucket.low for bucket in both.buckets) <= quantile <= max(bucket.high for bucket in both.buckets)
    )


def at(seconds: int, *, connected: bool) -> mesh_pb2.Proxy:
    made = mesh_pb2.Proxy(node_id="query-a-0", connected=connected)
    made.connect_time.seconds = seconds
    return made


def test_of_several_control_planes_the_one_that_a_proxy_listens_to_counts() -> None:
    listened, left = at(1, connected=True), at(2, connected=False)
    answers = [{"query-a-0": listened}, {"query-a-0": left}]
    assert newest(answers) == newest(reversed(answers)) == {"query-a-0": listened}
    assert newest([{"query-a-0": at(1, connected=False)}, {"query-a-0": left}]) == {"query-a-0": left}
    assert newest([{}, {"query-a-0": listened}]) == {"query-a-0": listened}
