"""What proxies are told of the real catalog."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterLbPolicy
from envoy_data_plane.envoy.config.core.v3 import HealthStatus
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import Route, RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.connection_limit.v3 import ConnectionLimit
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    DownstreamTlsContext,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.service.discovery.v3 import Resource as Envelope

from mesh.bootstrap import MAX_CONNECTIONS
from mesh.resources.endpoint import Condition
from mesh.resources.filters import RBAC
from mesh.snapshot import Builder
from mesh.topology import TopologyError
from mesh.wire import CLUSTER, ENDPOINT, LISTENER, ROUTE, Snapshot
from services import catalog
from services.catalog import SERVICES
from tests.unit.mesh.world import instance, topology

READ = "reverie.storage.v1.StorageReadService"
SEARCH = "reverie.storage.v1.StorageSearchService"
WRITE = "reverie.storage.v1.StorageWriteService"
ADMIN = "reverie.storage.v1.StorageAdminService"
ECHO = "reverie.echo.v1.EchoService"
JWKS = '{"keys": []}'


@pytest.fixture(scope="module")
def snapshots() -> dict[str, Snapshot]:
    return Builder(SERVICES).build(topology("abc"), JWKS, {})


def unpack(snapshot: Snapshot, kind: str, name: str) -> Any:
    packed = Envelope.parse(snapshot[kind][name].body).resource
    assert packed is not None
    return packed.unpack()


def routes(snapshot: Snapshot, name: str) -> list[Route]:
    configuration = unpack(snapshot, ROUTE, name)
    assert isinstance(configuration, RouteConfiguration)
    (host,) = configuration.virtual_hosts
    *routes, last = host.routes
    assert last.direct_response is not None
    assert last.direct_response.status == 404
    return routes


def targets(snapshot: Snapshot, name: str) -> list[tuple[str, str]]:
    return [(route.name, route.route.cluster or "") for route in routes(snapshot, name) if route.route]


def names(snapshot: Snapshot) -> dict[str, set[str]]:
    return {kind.rsplit(".", 1)[-1]: set(resources) for kind, resources in snapshot.items()}


def test_each_proxy_is_told_only_of_what_its_service_calls(snapshots: dict[str, Snapshot]) -> None:
    assert names(snapshots["ingest-a-0"]) == {
        "Cluster": {"app", "storage"},
        "ClusterLoadAssignment": {"storage"},
        "Listener": {"inbound", "outbound"},
        "RouteConfiguration": {"inbound", "outbound"},
    }
    assert names(snapshots["storage-a-0"])["Cluster"] == {"app"}
    assert names(snapshots["storage-a-0"])["Listener"] == {"inbound"}
    assert names(snapshots["analyse-a-0"])["Listener"] == {"outbound"}
    assert names(snapshots["query-a-0"])["Cluster"] == {"app", "storage", "storage-affine"}
    assert names(snapshots["edge-a-0"])["Cluster"] == {"health", "ingest", "query", "storage"}
    assert names(snapshots["edge-a-0"])["Listener"] == {"health", "public", "operator"}


def test_outbound_routes_are_the_calls_of_the_catalog(snapshots: dict[str, Snapshot]) -> None:
    assert targets(snapshots["ingest-a-0"], "outbound") == [(api, "storage") for api in (WRITE, READ, ECHO)]
    assert targets(snapshots["query-a-0"], "outbound") == [(SEARCH, "storage-affine"), (ECHO, "storage")]


def test_the_public_listener_routes_public_apis_and_the_operators_also_theirs(
    snapshots: dict[str, Snapshot],
) -> None:
    public = dict(targets(snapshots["edge-a-0"], "public"))
    assert public.pop("health") == "health"
    assert public == {
        READ: "storage",
        "reverie.ingest.v1.IngestService/StreamMemories": "ingest",
        "reverie.ingest.v1.IngestService": "ingest",
        "reverie.query.v1.QueryService": "query",
    }
    operator = targets(snapshots["edge-a-0"], "operator")
    assert {*public.items(), (ADMIN, "storage")} <= set(operator)
    assert {api for api, _ in operator} == {*public, ADMIN, ECHO, "health"}


def test_echo_goes_to_ingest_unless_a_header_says_otherwise(snapshots: dict[str, Snapshot]) -> None:
    echo = [route for route in routes(snapshots["edge-a-0"], "operator") if route.name == ECHO]
    chosen = {}
    for route in echo:
        assert route.match is not None
        assert route.route is not None
        headers = [(header.name, header.string_match) for header in route.match.headers]
        chosen[route.route.cluster] = [(name, match.exact) for name, match in headers if match is not None]
    assert chosen == {
        "query": [("reverie-echo-to", "query")],
        "storage": [("reverie-echo-to", "storage")],
        "ingest": [],
    }
    assert echo[-1].route is not None
    assert echo[-1].route.cluster == "ingest"


@pytest.mark.parametrize(
    ("api", "callers"),
    [
        (READ, {"edge", "ingest"}),
        (SEARCH, {"query"}),
        (WRITE, {"ingest"}),
        ("reverie.storage.v1.StorageAnalysisService", {"analyse"}),
        (ADMIN, {"edge"}),
        (ECHO, {"edge", "ingest", "query"}),
    ],
)
def test_storage_lets_in_whom_the_catalog_names(
    snapshots: dict[str, Snapshot], api: str, callers: set[str]
) -> None:
    (route,) = [route for route in routes(snapshots["storage-a-0"], "inbound") if route.name == api]
    assert allowed(route) == {f"spiffe://reverie.local/service/{caller}" for caller in callers}


def test_nobody_but_the_edge_calls_ingest_and_query(snapshots: dict[str, Snapshot]) -> None:
    for node in ("ingest-a-0", "query-a-0"):
        for route in routes(snapshots[node], "inbound"):
            assert allowed(route) == {"spiffe://reverie.local/service/edge"}


def allowed(route: Route) -> set[str]:
    rules = route.typed_per_filter_config[RBAC].unpack()
    assert isinstance(rules, RbacPerRoute)
    assert rules.rbac is not None
    assert rules.rbac.rules is not None
    found = set()
    for policy in rules.rbac.rules.policies.values():
        for principal in policy.principals:
            assert principal.authenticated is not None
            assert principal.authenticated.principal_name is not None
            found.add(str(principal.authenticated.principal_name.exact))
    return found


def test_every_route_has_the_catalogs_limits_and_repeats_what_may_be_repeated(
    snapshots: dict[str, Snapshot],
) -> None:
    for row in SERVICES:
        for api in row.apis:
            matching = [
                route for route in routes(snapshots["edge-a-0"], "operator") if route.name == api.name
            ]
            for route in matching:
                assert route.route is not None
                limit = route.route.max_stream_duration
                assert route.route.timeout == timedelta(0)
                assert limit is not None
                assert limit.max_stream_duration == limit.grpc_timeout_header_max == api.timeout
                if api.retry is None:
                    assert route.route.retry_policy is None
                    continue
                assert route.route.retry_policy is not None
                assert set(route.route.retry_policy.retry_on.split(",")) == {
                    "connect-failure",
                    "refused-stream",
                    "reset",
                    "unavailable",
                    "cancelled",
                }


def test_an_api_without_retry_is_never_repeated() -> None:
    once = replace(catalog.INGEST, apis=tuple(replace(api, retry=None) for api in catalog.INGEST.apis))
    table = tuple(once if row.name == "ingest" else row for row in SERVICES)
    snapshot = Builder(table).build(topology(), JWKS, {})["edge-a-0"]
    (route,) = [route for route in routes(snapshot, "public") if route.name.endswith(".IngestService")]
    assert route.route is not None
    assert route.route.retry_policy is None


def test_inbound_repeats_nothing(snapshots: dict[str, Snapshot]) -> None:
    for route in routes(snapshots["storage-a-0"], "inbound"):
        assert route.route is not None
        assert route.route.retry_policy is None


def test_tls_is_1_3_and_each_side_checks_whom_it_talks_to(snapshots: dict[str, Snapshot]) -> None:
    cluster = unpack(snapshots["ingest-a-0"], CLUSTER, "storage")
    upstream = cluster.transport_socket.typed_config.unpack()
    assert isinstance(upstream, UpstreamTlsContext)
    assert _checked(upstream) == ["spiffe://reverie.local/service/storage"]
    listener = unpack(snapshots["storage-a-0"], LISTENER, "inbound")
    assert isinstance(listener, Listener)
    assert listener.filter_chains[0].transport_socket is not None
    downstream = listener.filter_chains[0].transport_socket.typed_config
    assert downstream is not None
    context = downstream.unpack()
    assert isinstance(context, DownstreamTlsContext)
    assert context.require_client_certificate
    assert _checked(context) == ["spiffe://reverie.local/service/"]


def _checked(context: UpstreamTlsContext | DownstreamTlsContext) -> list[str]:
    common = context.common_tls_context
    assert common is not None
    assert common.tls_params is not None
    assert common.tls_params.tls_minimum_protocol_version is TlsParametersTlsProtocol.TLSv1_3
    assert common.tls_params.tls_maximum_protocol_version is TlsParametersTlsProtocol.TLSv1_3
    assert common.validation_context is not None
    matchers = [san.matcher for san in common.validation_context.match_typed_subject_alt_names]
    return [str(matcher.exact or matcher.prefix) for matcher in matchers if matcher is not None]


def test_who_connects_and_says_nothing_is_cut_off(snapshots: dict[str, Snapshot]) -> None:
    for node, name in (("edge-a-0", "public"), ("edge-a-0", "operator"), ("storage-a-0", "inbound")):
        (chain,) = unpack(snapshots[node], LISTENER, name).filter_chains
        assert timedelta(0) < chain.transport_socket_connect_timeout <= timedelta(seconds=10)


def test_applications_leave_connections_to_operators(snapshots: dict[str, Snapshot]) -> None:
    guards = {}
    for name in ("public", "operator"):
        (chain,) = unpack(snapshots["edge-a-0"], LISTENER, name).filter_chains
        guards[name] = [one.typed_config.unpack() for one in chain.filters[:-1]]
    (limit,) = guards["public"]
    assert isinstance(limit, ConnectionLimit)
    assert limit.max_connections is not None
    assert 0 < limit.max_connections < MAX_CONNECTIONS
    assert guards["operator"] == []


def test_searches_are_balanced_by_owner_and_all_else_by_load(snapshots: dict[str, Snapshot]) -> None:
    snapshot = snapshots["query-a-0"]
    by_owner, by_load = (unpack(snapshot, CLUSTER, name) for name in ("storage-affine", "storage"))
    assert isinstance(by_owner, Cluster)
    assert by_owner.lb_policy is ClusterLbPolicy.RING_HASH
    assert by_load.lb_policy is ClusterLbPolicy.LEAST_REQUEST
    for name in ("storage-affine", "storage"):
        assert snapshot[CLUSTER][name].endpoints == name
    (search,) = [route for route in routes(snapshot, "outbound") if route.name == SEARCH]
    assert search.route is not None
    assert [policy.header.header_name for policy in search.route.hash_policy if policy.header] == [
        "reverie-owner"
    ]


def test_breakers_and_ejection_are_the_catalogs(snapshots: dict[str, Snapshot]) -> None:
    cluster = unpack(snapshots["edge-a-0"], CLUSTER, "storage")
    (threshold,) = cluster.circuit_breakers.thresholds
    breaker, ejection = catalog.STORAGE.breaker, catalog.STORAGE.ejection
    assert (threshold.max_connections, threshold.max_requests) == (
        breaker.max_connections,
        breaker.max_requests,
    )
    assert threshold.max_pending_requests == breaker.max_pending
    assert threshold.retry_budget.budget_percent.value == breaker.retry_budget_percent
    assert cluster.outlier_detection.consecutive_gateway_failure == ejection.consecutive_failures
    assert cluster.outlier_detection.enforcing_consecutive_5xx == 0
    assert cluster.outlier_detection.max_ejection_time == ejection.max_time
    assert cluster.outlier_detection.max_ejection_percent == ejection.max_percent


def test_what_is_never_repeated_has_no_budget_for_repeats(snapshots: dict[str, Snapshot]) -> None:
    (host,) = unpack(snapshots["query-a-0"], ROUTE, "inbound").virtual_hosts
    assert not any(route.route.retry_policy for route in host.routes if route.route)
    (threshold,) = unpack(snapshots["query-a-0"], CLUSTER, "app").circuit_breakers.thresholds
    assert threshold.retry_budget is None


def endpoints(snapshot: Snapshot, service: str) -> dict[str, list[tuple[int, bool]]]:
    assignment = unpack(snapshot, ENDPOINT, service)
    assert isinstance(assignment, ClusterLoadAssignment)
    found: dict[str, list[tuple[int, bool]]] = {}
    for locality in assignment.endpoints:
        assert locality.locality is not None
        for member in locality.lb_endpoints:
            address = member.endpoint.address.socket_address  # type: ignore[union-attr]
            well = member.health_status is HealthStatus.UNKNOWN
            found.setdefault(locality.locality.zone, []).append((address.port_value, well))  # type: ignore[arg-type, union-attr]
    return found


def test_zones_are_localities_and_what_leaves_is_gone_and_what_is_lost_is_marked() -> None:
    world = topology("abc")
    conditions = {"storage-a-0": Condition.LEAVING, "storage-b-0": Condition.LOST}
    snapshot = Builder(SERVICES).build(world, JWKS, conditions)["query-a-0"]
    ports = {one.zone: one.port for one in world.of("storage")}
    assert endpoints(snapshot, "storage") == {"b": [(ports["b"], False)], "c": [(ports["c"], True)]}


def ranks(snapshot: Snapshot, cluster: str) -> dict[str, int]:
    assignment = unpack(snapshot, ENDPOINT, cluster)
    assert isinstance(assignment, ClusterLoadAssignment)
    return {one.locality.zone: one.priority for one in assignment.endpoints if one.locality is not None}


def test_each_zone_prefers_its_own_instances_except_where_an_owner_decides() -> None:
    snapshots = Builder(SERVICES).build(topology("abc"), JWKS, {})
    assert ranks(snapshots["query-b-0"], "storage") == {"b": 0, "a": 1, "c": 1}
    assert ranks(snapshots["edge-c-0"], "storage") == {"c": 0, "a": 1, "b": 1}
    assert ranks(snapshots["query-b-0"], "storage-affine") == {"a": 0, "b": 0, "c": 0}


def test_a_zone_without_an_instance_has_no_empty_rank() -> None:
    leaving = {"storage-b-0": Condition.LEAVING}
    snapshots = Builder(SERVICES).build(topology("abc"), JWKS, leaving)
    assert ranks(snapshots["query-b-0"], "storage") == {"a": 0, "c": 0}


def test_a_service_without_instances_has_an_empty_answer_not_none() -> None:
    world = topology()
    without = replace(world, instances=tuple(one for one in world.instances if one.service != "storage"))
    assert endpoints(Builder(SERVICES).build(without, JWKS, {})["query-a-0"], "storage") == {}


def test_the_same_input_gives_the_same_bytes() -> None:
    assert Builder(SERVICES).build(topology(), JWKS, {}) == Builder(SERVICES).build(topology(), JWKS, {})


def test_other_keys_of_callers_are_told_to_edges_alone() -> None:
    builder = Builder(SERVICES)
    before = builder.build(topology(), JWKS, {})
    after = builder.build(topology(), '{"keys": [1]}', {})
    changed = {
        (node, kind, name)
        for node, snapshot in after.items()
        for kind, resources in snapshot.items()
        for name, resource in resources.items()
        if resource.version != before[node][kind][name].version
    }
    assert changed == {("edge-a-0", LISTENER, "public"), ("edge-a-0", LISTENER, "operator")}


def test_only_what_changed_is_built_anew() -> None:
    builder = Builder(SERVICES)
    before = builder.build(topology("abc"), JWKS, {})
    after = builder.build(topology("abc"), JWKS, {"storage-a-0": Condition.LOST})
    changed = {
        (node, kind, name)
        for node, snapshot in after.items()
        for kind, resources in snapshot.items()
        for name, resource in resources.items()
        if resource.body is not before[node][kind][name].body
    }
    callers = {node for node in after if node.split("-")[0] in {"ingest", "query", "analyse", "edge"}}
    by_owner = {(f"query-{zone}-0", ENDPOINT, "storage-affine") for zone in "abc"}
    assert changed == {(node, ENDPOINT, "storage") for node in callers} | by_owner


def test_listeners_and_routes_say_which_clusters_they_need(snapshots: dict[str, Snapshot]) -> None:
    snapshot = snapshots["query-a-0"]
    for kind in (LISTENER, ROUTE):
        assert snapshot[kind]["outbound"].needs == {"storage", "storage-affine"}
        assert snapshot[kind]["inbound"].needs == {"app"}


def test_a_service_that_the_catalog_does_not_know_is_refused() -> None:
    world = topology()
    stranger = instance("stranger", "a", 9_999)
    with pytest.raises(TopologyError, match=r"'stranger'.*storage, ingest, query, analyse"):
        Builder(SERVICES).build(replace(world, instances=(*world.instances, stranger)), JWKS, {})


def test_a_port_that_can_not_be_is_refused() -> None:
    world = topology()
    with pytest.raises(TopologyError):
        Builder(SERVICES).build(replace(world, instances=(instance("storage", "a", -1),)), JWKS, {})
