"""Clusters: where a proxy sends calls, and how it guards itself there."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    CircuitBreakersThresholdsRetryBudget,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    ClusterRingHashLbConfig,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    Http2ProtocolOptions,
    KeepaliveSettings,
    Pipe,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from mesh.resources.tls import Credentials, to_service
from services.catalog import Api, Breaker, Ejection, Service

APP = "app"
"""The cluster of a sidecar's own service."""
HEALTH = "health"
"""The cluster of an edge's own listener of that name."""

_CONNECT_TIMEOUT = timedelta(seconds=1)
# A peer that froze or was cut off is noticed by its missing pong; the kernel would take minutes. Its calls
# end then, and are repeated elsewhere, so a false alarm costs a few repeats.
_KEEPALIVE = KeepaliveSettings(interval=timedelta(milliseconds=300), timeout=timedelta(milliseconds=500))
# An answer that nobody reads on holds back no more than its own window, and there is room for that of every
# call that a breaker lets through: by default five such answers would stop the connection for everybody.
_STREAM_WINDOW = 128 * 1024
_MOST_ROOM = 2**31 - 1
_NO_LIMIT = 2**32 - 1
_PANIC_PERCENT = 50.0
# When an instance freezes, all calls that its callers made until that is noticed fail at the same moment, and
# each shall be repeated.
_BUDGET_INTERVAL = timedelta(seconds=1)
_FEWEST_RETRIES = 10
_RING_SIZE = 256
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def name_for(callee: str, api: Api) -> str:
    """The cluster that takes an API's calls: a service has a second one for APIs with affinity."""
    return callee if api.affinity is None else f"{callee}-affine"


def app(socket: Path, breaker: Breaker) -> Cluster:
    """The service beside the proxy. It is never ejected: there is no other.

    When it freezes its calls under way are ended, so that callers' proxies repeat them elsewhere. No breaker
    counts its calls: it does so itself, by API, and tells callers how long to wait.
    """
    cluster = _at(APP, socket)
    cluster.typed_extension_protocol_options = _http2(breaker)
    # No budget for repeats, there are none: its window is a timer that goes off ten times a second.
    unlimited = replace(breaker, max_requests=_NO_LIMIT, max_pending=_NO_LIMIT)
    cluster.circuit_breakers = CircuitBreakers(thresholds=[_thresholds(unlimited)])
    return cluster


def health(socket: Path) -> Cluster:
    """The edge itself: where it answers that it is there."""
    return _at(HEALTH, socket)


def callee(row: Service, own: Credentials, *, affine: bool) -> Cluster:
    """Another service's proxies, found by EDS: the nearest zone's, and others' when it has none.

    `affine`: by the hash that the route names, over all zones alike.
    """
    name = f"{row.name}-affine" if affine else row.name
    cluster = Cluster(
        name=name,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=from_ads(), service_name=name),
        connect_timeout=_CONNECT_TIMEOUT,
        lb_policy=ClusterLbPolicy.RING_HASH if affine else ClusterLbPolicy.LEAST_REQUEST,
        common_lb_config=_balancing(),
        transport_socket=to_service(own, row.name),
        typed_extension_protocol_options=_http2(row.breaker),
        circuit_breakers=_breakers(row.breaker),
        outlier_detection=_ejection(row.ejection),
    )
    if affine:
        # The default of 1024 points costs memory in every proxy, and we have a handful of endpoints.
        cluster.ring_hash_lb_config = ClusterRingHashLbConfig(minimum_ring_size=_RING_SIZE)
    return cluster


def _at(name: str, socket: Path) -> Cluster:
    endpoint = LbEndpoint(endpoint=Endpoint(address=Address(pipe=Pipe(path=str(socket)))))
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=_CONNECT_TIMEOUT,
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
    )


def from_ads() -> ConfigSource:
    """Where a resource's own resources come from: the stream that it came by."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def _http2(breaker: Breaker) -> dict[str, Any]:
    options = Http2ProtocolOptions(
        initial_stream_window_size=_STREAM_WINDOW,
        initial_connection_window_size=min(_STREAM_WINDOW * breaker.max_requests, _MOST_ROOM),
        connection_keepalive=_KEEPALIVE,
    )
    explicit = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=options)
    return {_HTTP_OPTIONS: Any.pack(HttpProtocolOptions(explicit_http_config=explicit))}


def _balancing() -> ClusterCommonLbConfig:
    return ClusterCommonLbConfig(
        # When most endpoints are said to be ill, the one who says so may be: then all of them are tried.
        healthy_panic_threshold=Percent(value=_PANIC_PERCENT),
        # By default Envoy saves up changes of health for a second.
        update_merge_window=timedelta(0),
    )


def _breakers(breaker: Breaker) -> CircuitBreakers:
    thresholds = _thresholds(breaker)
    thresholds.retry_budget = CircuitBreakersThresholdsRetryBudget(
        budget_percent=Percent(value=breaker.retry_budget_percent),
        budget_interval=_BUDGET_INTERVAL,
        min_retry_concurrency=_FEWEST_RETRIES,
    )
    return CircuitBreakers(thresholds=[thresholds])


def _thresholds(breaker: Breaker) -> CircuitBreakersThresholds:
    return CircuitBreakersThresholds(
        max_connections=breaker.max_connections,
        max_pending_requests=breaker.max_pending,
        max_requests=breaker.max_requests,
    )


def _ejection(ejection: Ejection) -> OutlierDetection:
    """After so many gateway failures one after the other: unreachable, UNAVAILABLE, DEADLINE_EXCEEDED.

    Envoy sees the last two only where no headers came first, and so services send only what is their own
    fault (services/runtime/interceptors.py): the failure of what all of them depend on ejects nobody.

    Not after any of Envoy's 5xx: it counts INTERNAL, UNKNOWN and UNIMPLEMENTED too, so a poisonous request,
    repeated, could drive out healthy instances. (Its `error_matcher` does not apply to gRPC.)
    """
    return OutlierDetection(
        interval=ejection.interval,
        base_ejection_time=ejection.base_time,
        max_ejection_time=ejection.max_time,
        max_ejection_percent=ejection.max_percent,
        consecutive_gateway_failure=ejection.consecutive_failures,
        enforcing_consecutive_gateway_failure=100,
        enforcing_consecutive_5xx=0,
        enforcing_success_rate=0,
    )
