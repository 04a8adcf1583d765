"""Routes: which calls a proxy lets through, to where, for how long, and which of them it repeats.

A gRPC call's path is `/{API}/{method}`. Whatever is not listed is answered with UNIMPLEMENTED and a reason.
"""

from collections.abc import Iterator
from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
    RetryPolicyRetryPriority,
    Route,
    RouteAction,
    RouteActionHashPolicy,
    RouteActionHashPolicyHeader,
    RouteActionMaxStreamDuration,
    RouteConfiguration,
    RouteMatch,
    RouteMatchGrpcRouteMatchOptions,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.extensions.retry.priority.previous_priorities.v3 import PreviousPrioritiesConfig
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from mesh import rights
from mesh.resources import cluster, filters
from mesh.topology import identity
from services.catalog import Api, Audience, Retry, Service, Stream, Table, callees

SERVICE_CHOICE = "reverie-echo-to"
"""Operators' header: which service shall answer an API that several serve."""

_REPEATABLE_BODY = 1024 * 1024
"""Bytes of a request that a proxy keeps to repeat it; longer ones are for the caller to repeat."""
# A reset is also what calls under way meet when the proxy that had them dies. "unavailable" is seen only
# where no headers came first: so a service says that the fault is its own (services/runtime/interceptors.py).
# "cancelled" is what a server that stops says of calls under way; what a caller cancels is not repeated.
_RETRY_ON = "connect-failure,refused-stream,reset,unavailable,cancelled"
_SERVING = b"\x08\x01"
"""HealthCheckResponse(status=SERVING), encoded."""
_HEALTH_TIMEOUT = timedelta(seconds=1)
_NOT_FOUND = 404
"""Envoy turns it into gRPC's UNIMPLEMENTED."""
_OTHER_HOST_ATTEMPTS = 16
"""A fast failing instance looks idle and so is picked again and again: of two, three times in four."""


def inbound(name: str, row: Service, table: Table, trust_domain: str) -> RouteConfiguration:
    """To the service beside the proxy: each of its APIs, for those who may call it."""
    routes = []
    for api in row.apis:
        callers = rights.callers(row, api, table)
        allowed = filters.allow(identity(caller, trust_domain) for caller in callers)
        for route in _routes(api, cluster.APP, None):
            route.typed_per_filter_config = allowed
            routes.append(route)
    return _configuration(name, routes, f"{row.name} does not serve this")


def outbound(name: str, row: Service, table: Table) -> RouteConfiguration:
    """From the service beside the proxy: the APIs that its `calls` names, and nothing else."""
    routes = [
        route
        for callee, apis in callees(row, table).items()
        for api in apis
        for route in _routes(api, cluster.name_for(callee, api), api.retry)
    ]
    return _configuration(name, routes, f"{row.name} does not call this: see its `calls` in the catalog")


def edge(name: str, table: Table, audiences: frozenset[Audience]) -> RouteConfiguration:
    """From applications or operators: the APIs that are for them, and the edge's own health."""
    offers = rights.offered(table, audiences).values()
    routes = [route for choice in offers for route in _to_one_of(choice)]
    configuration = _configuration(name, [*routes, _to_health()], "nothing here serves this")
    configuration.virtual_hosts[0].typed_per_filter_config = filters.bridged(on=False)
    return configuration


def health() -> RouteConfiguration:
    """What an edge says of itself: that it serves, whichever service the question names."""
    answer = DirectResponseAction(status=200, body=DataSource(inline_bytes=_SERVING))
    of_message = HeaderValueOption(
        header=HeaderValue(key="content-type", value=filters.MESSAGE),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    everything = Route(
        match=RouteMatch(prefix="/"), direct_response=answer, response_headers_to_add=[of_message]
    )
    return RouteConfiguration(
        name="health", virtual_hosts=[VirtualHost(name="health", domains=["*"], routes=[everything])]
    )


def _to_health() -> Route:
    # Watching is UNIMPLEMENTED: by the contract a balancer then takes it that all is well.
    return Route(
        name="health",
        # Not only gRPC: once bridged it is none, and the route is looked up again.
        match=RouteMatch(path=f"{filters.HEALTH}Check"),
        route=RouteAction(cluster=cluster.HEALTH, timeout=_HEALTH_TIMEOUT),
        typed_per_filter_config=filters.bridged(on=True),
    )


def clusters(configuration: RouteConfiguration) -> frozenset[str]:
    """The clusters that have to be there before a proxy may be told of these routes."""
    actions = (route.route for host in configuration.virtual_hosts for route in host.routes)
    return frozenset(action.cluster for action in actions if action is not None and action.cluster)


def _to_one_of(offers: tuple[tuple[Service, Api], ...]) -> Iterator[Route]:
    """The first of several services answers, or the one that the caller names."""
    first, *others = offers
    for row, api in others:
        yield from _routes(api, cluster.name_for(row.name, api), api.retry, chosen=row.name)
    yield from _routes(first[1], cluster.name_for(first[0].name, first[1]), first[1].retry)


def _configuration(name: str, routes: list[Route], otherwise: str) -> RouteConfiguration:
    refusal = DirectResponseAction(status=_NOT_FOUND, body=DataSource(inline_string=otherwise))
    last = Route(name="otherwise", match=RouteMatch(prefix="/"), direct_response=refusal)
    host = VirtualHost(
        name=name, domains=["*"], routes=[*routes, last], request_body_buffer_limit=_REPEATABLE_BODY
    )
    return RouteConfiguration(name=name, virtual_hosts=[host])


def _routes(api: Api, cluster_name: str, retry: Retry | None, chosen: str | None = None) -> Iterator[Route]:
    """Those of an API's streams, then that of its other methods."""
    for stream in api.streams:
        yield _route(
            f"{api.name}/{stream.method}",
            RouteMatch(path=f"/{api.name}/{stream.method}", grpc=RouteMatchGrpcRouteMatchOptions()),
            _stream_action(stream, cluster_name),
            api,
            chosen,
        )
    match = RouteMatch(prefix=f"/{api.name}/", grpc=RouteMatchGrpcRouteMatchOptions())
    yield _route(api.name, match, _action(api, cluster_name, retry), api, chosen)


def _route(name: str, match: RouteMatch, action: RouteAction, api: Api, chosen: str | None) -> Route:
    if api.affinity is not None:
        by = RouteActionHashPolicyHeader(header_name=api.affinity)
        action.hash_policy = [RouteActionHashPolicy(header=by)]
    if chosen is not None:
        match.headers = [HeaderMatcher(name=SERVICE_CHOICE, string_match=StringMatcher(exact=chosen))]
    return Route(name=name, match=match, route=action)


def _action(api: Api, cluster_name: str, retry: Retry | None) -> RouteAction:
    return RouteAction(
        cluster=cluster_name,
        # Envoy's own default of 15 s counts from the end of the request; the next line is what counts for us.
        timeout=timedelta(0),
        max_stream_duration=RouteActionMaxStreamDuration(
            max_stream_duration=api.timeout, grpc_timeout_header_max=api.timeout
        ),
        retry_policy=None if retry is None else _retry(retry),
    )


def _stream_action(stream: Stream, cluster_name: str) -> RouteAction:
    """Nothing of it is kept to be sent again: only what is repeated is."""
    forever = timedelta(0)
    return RouteAction(
        cluster=cluster_name,
        timeout=forever,
        idle_timeout=stream.idle_timeout,
        # A deadline that the caller sets himself still counts.
        max_stream_duration=RouteActionMaxStreamDuration(
            max_stream_duration=forever, grpc_timeout_header_max=forever
        ),
    )


def _retry(retry: Retry) -> RetryPolicy:
    elsewhere = RetryPolicyRetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=Any.pack(PreviousHostsPredicate())
    )
    # Without it a zone's only instance would be tried again until the control plane has noticed its end.
    other_zone = RetryPolicyRetryPriority(
        name="envoy.retry_priorities.previous_priorities",
        typed_config=Any.pack(PreviousPrioritiesConfig(update_frequency=1)),
    )
    return RetryPolicy(
        retry_on=_RETRY_ON,
        num_retries=retry.attempts,
        per_try_timeout=retry.per_try_timeout,
        retry_host_predicate=[elsewhere],
        retry_priority=other_zone,
        # After so many looks the same one is tried again: it may be the only one.
        host_selection_retry_max_attempts=_OTHER_HOST_ATTEMPTS,
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=retry.base_interval, max_interval=10 * retry.base_interval
        ),
    )
