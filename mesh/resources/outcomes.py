"""How an edge answers what it refuses itself, and which failures it writes down."""

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    GrpcStatusFilter,
    GrpcStatusFilterStatus,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import RuntimeUInt32, SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StderrAccessLog
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Any, Struct

from mesh.resources import filters

_UNAUTHORIZED, _FORBIDDEN = 401, 403


def refusals() -> LocalReplyConfig:
    """A JWT for another audience is as good as none: UNAUTHENTICATED, where Envoy says PERMISSION_DENIED.

    At an edge Envoy itself has no other reason to forbid; what services forbid passes unchanged.
    """
    forbidden = ComparisonFilter(
        op=ComparisonFilterOp.EQ,
        value=RuntimeUInt32(default_value=_FORBIDDEN, runtime_key="reverie.never_set"),
    )
    match = AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=forbidden))
    return LocalReplyConfig(mappers=[ResponseMapper(filter=match, status_code=_UNAUTHORIZED)])


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
