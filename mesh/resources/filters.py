"""HTTP filters, in the order in which a request meets them."""

from collections.abc import Iterable
from datetime import timedelta

from betterproto2 import Message
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation as Mutation
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutationRemoveOnMatch
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.rbac.v3 import (
    Permission,
    Policy,
    Principal,
    PrincipalAuthenticated,
    RbacAction,
)
from envoy_data_plane.envoy.config.rbac.v3 import Rbac as Rules
from envoy_data_plane.envoy.config.route.v3 import RouteMatch
from envoy_data_plane.envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3 import (
    FilterConfig as FrameConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3 import (
    FilterConfigPerRoute as FrameConfigPerRoute,
)
from envoy_data_plane.envoy.extensions.filters.http.grpc_stats.v3 import FilterConfig
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import HeaderMutation, Mutations
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwtAuthentication,
    JwtCacheConfig,
    JwtProvider,
    JwtRequirement,
    RequirementRule,
)
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac, RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from services.runtime.admission import ARRIVED
from services.runtime.principal import AUDIENCE, ISSUER

RBAC = "rbac"
"""The name by which routes say who may pass."""
BRIDGE = "bridge"
"""The name by which routes say whether they are bridged."""
HEALTH = "/grpc.health.v1.Health/"
MESSAGE = "application/x-protobuf"
"""The content type of a message without gRPC around it."""
REQUEST_ID = "x-reverie-request-id"
RECEIVED_AT = "x-reverie-received-at"

_CLOCK_SKEW = timedelta(seconds=10)
_REMEMBERED_JWTS = 1000


def rbac() -> HttpFilter:
    """Denies whatever no route allows.

    Who may pass stands in the routes, so that a change needs no new listener and so drains no connection.
    """
    return _filter(RBAC, Rbac(rules=Rules(action=RbacAction.ALLOW)))


def allow(identities: Iterable[str]) -> dict[str, Any]:
    """A route's exception from `rbac`: these SPIFFE ids pass. Nobody, if there are none."""
    principals = [
        Principal(authenticated=PrincipalAuthenticated(principal_name=StringMatcher(exact=identity)))
        for identity in identities
    ]
    policies = (
        {"callers": Policy(permissions=[Permission(any=True)], principals=principals)} if principals else {}
    )
    rules = Rules(action=RbacAction.ALLOW, policies=policies)
    return {RBAC: Any.pack(RbacPerRoute(rbac=Rbac(rules=rules)))}


def jwt(jwks: str) -> HttpFilter:
    """Wants a valid JWT of every request, and sends it on: services look again.

    Not of questions about health: balancers have none.
    """
    provider = JwtProvider(
        issuer=ISSUER,
        audiences=[AUDIENCE],
        require_expiration=True,
        # Their text: a file is read when the listener is made, and never again.
        local_jwks=DataSource(inline_string=jwks),
        forward=True,
        clock_skew_seconds=int(_CLOCK_SKEW.total_seconds()),
        # A signature costs more to check than all the rest of a small request.
        jwt_cache_config=JwtCacheConfig(jwt_cache_size=_REMEMBERED_JWTS),
    )
    everything = RequirementRule(match=RouteMatch(prefix="/"), requires=JwtRequirement(provider_name=ISSUER))
    health = RequirementRule(match=RouteMatch(prefix=HEALTH))
    return _filter("jwt", JwtAuthentication(providers={ISSUER: provider}, rules=[health, everything]))


def stamp() -> HttpFilter:
    """Takes off what only the mesh may say, and marks the call: its id, and when it came in.

    It runs once, before any retry, so every try of a call carries the same marks.
    """
    mutations = [
        _without("x-reverie-"),
        # Among them are orders to this proxy: how often to retry, how long to wait.
        _without("x-envoy-"),
        _with(REQUEST_ID, "%UNIQUE_ID%"),
        _with(RECEIVED_AT, "%START_TIME(%s%3f)%"),
    ]
    return _filter("stamp", HeaderMutation(mutations=Mutations(request_mutations=mutations)))


def arrival() -> HttpFilter:
    """Marks a call with the time at which it came to the service beside the proxy, by their common clock."""
    mutation = _with(ARRIVED, "%START_TIME(%s%6f)%")
    return _filter("arrival", HeaderMutation(mutations=Mutations(request_mutations=[mutation])))


def bridge() -> HttpFilter:
    """Makes a gRPC answer of a bare message, on routes that say so by `bridged`."""
    return _filter(BRIDGE, FrameConfig(content_type=MESSAGE, withhold_grpc_frames=True))


def bridged(*, on: bool) -> dict[str, Any]:
    """Whether routes are bridged."""
    return {BRIDGE: Any.pack(FrameConfigPerRoute(disabled=not on))}


def grpc_stats() -> HttpFilter:
    """Counts calls by their gRPC status, which HTTP's 200 hides.

    Not by method: callers choose its name, so the numbers would grow without bound.
    """
    return _filter("grpc_stats", FilterConfig(stats_for_all_methods=False))


def router() -> HttpFilter:
    """Sends the request on. Last of all."""
    return _filter("router", Router(suppress_envoy_headers=True))


def _filter(name: str, config: Message) -> HttpFilter:
    return HttpFilter(name=name, typed_config=Any.pack(config))


def _without(prefix: str) -> Mutation:
    return Mutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix=prefix)))


def _with(name: str, value: str) -> Mutation:
    return Mutation(
        append=HeaderValueOption(
            header=HeaderValue(key=name, value=value),
            append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        )
    )
