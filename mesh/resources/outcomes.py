"""How proxies answer what they refuse themselves, and which failures an edge writes down."""

from base64 import b64encode
from datetime import timedelta

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

from mesh.resources import crowd, filters
from services.runtime.errors import DETAILS_KEY, Overloaded, to_status

_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_RESOURCE_EXHAUSTED = "8"
# Of the first try alone: what was tried before may have been done.
_NO_ROOM = (
    f"response.code_details == '{crowd.REFUSED}' "
    "|| response.code_details == 'upstream_reset_before_response_started{overflow}' "
    "&& upstream.request_attempt_count == 1"
)
_RETRY_DELAY = timedelta(milliseconds=200)
"""What a caller is told to wait whom a proxy refuses: many times what calls take, and two looks of the edge.
Callers wait longer each time (client/reverie_client/retry.py)."""


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
    error = Overloaded(retry_delay=_RETRY_DELAY)
    details = dict(to_status(error).trailing_metadata or ())[DETAILS_KEY]
    return ResponseMapper(
        filter=match,
        status_code=_TOO_MANY,
        # By itself Envoy makes UNAVAILABLE of 429 too.
        headers_to_add=[
            _header("grpc-status", _RESOURCE_EXHAUSTED),
            _header(DETAILS_KEY, _encoded(details)),
        ],
        body=DataSource(inline_string=error.message),
    )


def _encoded(value: str | bytes) -> str:
    return b64encode(value if isinstance(value, bytes) else value.encode()).decode()


def _header(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
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
