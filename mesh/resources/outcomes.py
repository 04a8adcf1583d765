"""How proxies answer what they refuse themselves, and which failures an edge writes down."""

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    ExtensionFilter,
    GrpcStatusFilter,
    GrpcStatusFilterStatus,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StderrAccessLog
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Any, Struct

from mesh.resources import filters

_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_RESOURCE_EXHAUSTED = "8"
# Of the first try alone: what was tried before may have been done.
_NO_ROOM = (
    "response.code_details == 'upstream_reset_before_response_started{overflow}' "
    "&& upstream.request_attempt_count == 1"
)


def refusals(*, edge: bool) -> LocalReplyConfig:
    """What proxies say otherwise than Envoy does by itself.

    A full breaker is RESOURCE_EXHAUSTED, as where a service is full: nothing was done, and it is nobody's
    failure. Envoy says UNAVAILABLE, for which the next proxy would eject an instance that is only busy.
    """
    mappers = [_no_room(), _no_audience()] if edge else [_no_room()]
    return LocalReplyConfig(mappers=mappers)


def _no_room() -> ResponseMapper:
    expression = Any.pack(ExpressionFilter(expression=_NO_ROOM))
    match = AccessLogFilter(
        extension_filter=ExtensionFilter(
            name="envoy.access_loggers.extension_filters.cel", typed_config=expression
        )
    )
    status = HeaderValueOption(
        header=HeaderValue(key="grpc-status", value=_RESOURCE_EXHAUSTED),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return ResponseMapper(
        filter=match,
        status_code=_TOO_MANY,
        # By itself Envoy makes UNAVAILABLE of 429 too.
        headers_to_add=[status],
        body=DataSource(inline_string="too much is under way; nothing was done; try again"),
    )


def _no_audience() -> ResponseMapper:
    """A JWT for another audience is as good as none: UNAUTHENTICATED, where Envoy says PERMISSION_DENIED.

    At an edge Envoy itself has no other reason to forbid; what services forbid passes unchanged.
    """
    forbidden = ComparisonFilter(
        op=ComparisonFilterOp.EQ,
        value=RuntimeUInt32(default_value=_FORBIDDEN, runtime_key="reverie.never_set"),
    )
    match = AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=forbidden))
    return ResponseMapper(filter=match, status_code=_UNAUTHORIZED)


def failures() -> AccessLog:
    """One line on stderr for each call that failed by our fault, with Envoy's reason for it."""
    status = GrpcStatusFilterStatus
    ours = [status.UNKNOWN, status.INTERNAL, status.UNAVAILABLE, status.DATA_LOSS]
    line = {
        "time": "%START_TIME%",
        "listener": "%ROUTE_NAME%",
        "path": "%REQ(:PATH)%",
        "request_id": f"%REQ({filters.REQUEST_ID})%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "upstream": "%UPSTREAM_HOST%",
        "milliseconds": "%DURATION%",
    }
    form = SubstitutionFormatString(json_format=Struct.from_dict(line))
    return AccessLog(
        name="failures",
        filter=AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=ours)),
        typed_config=Any.pack(StderrAccessLog(log_format=form)),
    )
