"""What a call that does not succeed raises: one class for each reason that Reverie gives.

The proto comments say which call ends with which. Catch a family (`Unavailable`) or one reason (`StoreDown`).
"""
# ruff: noqa: N818 - named after the reasons of the contract, as the services name them

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from reverie.memory.v1 import memory_pb2

_DOMAIN = "reverie"
_DETAILS_KEY = "grpc-status-details-bin"
_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that breaks a limit."""

    field: str
    """Its path, as "memory.labels[2]"."""
    description: str
    """Which limit."""


class ReverieError(Exception):
    """A call that did not succeed."""

    def __init__(
        self,
        message: str,
        *,
        code: StatusCode = StatusCode.UNKNOWN,
        reason: str = "",
        violations: Sequence[Violation] = (),
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        """As in google.rpc.ErrorInfo; empty if the answer did not come from a service."""
        self.violations = tuple(violations)
        """Every field that breaks a limit, for INVALID_ARGUMENT."""
        self.retry_delay = retry_delay
        """How long to wait before another try, if the service says so."""

    def __str__(self) -> str:
        """The message, then each broken field."""
        broken = "".join(
            f"; {v.field}: {v.description}" for v in self.violations if v.field not in self.message
        )
        return f"{self.message}{broken}"


class InvalidArgument(ReverieError):
    """The request breaks a limit; `violations` names every field that does."""


class TokenInvalid(InvalidArgument):
    """A page token or a consistency token is forged, expired, or another request's."""


class TooLarge(ReverieError):
    """The request is larger than Reverie takes."""


class Unauthenticated(ReverieError):
    """There is no valid JWT with the call."""


class PermissionDenied(ReverieError):
    """The JWT does not allow the call."""


class UserForbidden(PermissionDenied):
    """The JWT is another user's and lacks the scope `users:*`."""


class ScopeMissing(PermissionDenied):
    """The JWT lacks a scope that the call needs."""


class NotFound(ReverieError):
    """There is no such thing."""


class MemoryNotFound(NotFound):
    """There is no memory of that name, or not any more, or it is another tenant's."""


class MemoryExists(ReverieError):
    """The id holds a memory with other content."""


class MemoryDeleted(ReverieError):
    """The id belonged to a memory that was deleted; it is never used again."""


class OwnerErased(ReverieError):
    """The user was erased."""


class EtagMismatch(ReverieError):
    """The memory is not in the state that the change starts from: read it again."""


class Unavailable(ReverieError):
    """Reverie can't answer now. Calls that may be repeated were repeated until the deadline."""


class Unreachable(Unavailable):
    """Nothing answers at the edge, or the connection broke."""


class PeerUnavailable(Unavailable):
    """A service behind the one that answered can't be reached."""


class UnknownOutcome(Unavailable):
    """A write may or may not have happened. Repeat it with the same id."""


class StoreDown(Unavailable):
    """The database does not answer. Nothing happened."""


class StoreFull(Unavailable):
    """The database has no room. Nothing happened."""


class StalePrimary(Unavailable):
    """The database that answered has not seen what the consistency token promises."""


class Draining(Unavailable):
    """The instance is about to stop and took nothing more."""


class Overloaded(ReverieError):
    """Too much is under way; nothing happened. `retry_delay` says how long to wait."""


class StoreRefused(ReverieError):
    """The database refused the memory for its data."""


class DeadlineExceeded(ReverieError):
    """The deadline passed. A write may or may not have happened: repeat it with the same id."""


class InternalError(ReverieError):
    """Something failed inside that should not: the service's log says what."""


class Unimplemented(ReverieError):
    """What answers does not offer this call."""


_BY_REASON: dict[str, type[ReverieError]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "TOKEN_INVALID": TokenInvalid,
    "TOO_LARGE": TooLarge,
    "UNAUTHENTICATED": Unauthenticated,
    "USER_FORBIDDEN": UserForbidden,
    "SCOPE_MISSING": ScopeMissing,
    "MEMORY_NOT_FOUND": MemoryNotFound,
    "MEMORY_EXISTS": MemoryExists,
    "MEMORY_DELETED": MemoryDeleted,
    "OWNER_ERASED": OwnerErased,
    "ETAG_MISMATCH": EtagMismatch,
    "UNKNOWN_OUTCOME": UnknownOutcome,
    "STORE_DOWN": StoreDown,
    "STORE_FULL": StoreFull,
    "STALE_PRIMARY": StalePrimary,
    "DRAINING": Draining,
    "PEER_UNAVAILABLE": PeerUnavailable,
    "OVERLOADED": Overloaded,
    "STORE_REFUSED": StoreRefused,
    "DEADLINE_TOO_SHORT": DeadlineExceeded,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "INTERNAL": InternalError,
}

_BY_CODE: dict[StatusCode, type[ReverieError]] = {
    StatusCode.INVALID_ARGUMENT: InvalidArgument,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.INTERNAL: InternalError,
    StatusCode.UNAVAILABLE: Unreachable,
    StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    StatusCode.UNIMPLEMENTED: Unimplemented,
}

_CODES: dict[int, StatusCode] = {code.value[0]: code for code in StatusCode}


def from_rpc_error(error: grpc.aio.AioRpcError) -> ReverieError:
    """The typed error for a call that ended with a status."""
    status = _status(error)
    info = _detail(status, error_details_pb2.ErrorInfo)
    delay = _detail(status, error_details_pb2.RetryInfo)
    bad = _detail(status, error_details_pb2.BadRequest)
    return make(
        error.code(),
        info.reason if info and info.domain == _DOMAIN else "",
        error.details() or error.code().name,
        [Violation(v.field, v.description) for v in bad.field_violations] if bad else (),
        delay.retry_delay.ToTimedelta() if delay else None,
    )


def from_item(error: memory_pb2.ItemError) -> ReverieError:
    """The typed error for one item of a batch: what the call alone would have raised."""
    violations = [Violation(v.field, v.description) for v in error.field_violations]
    return make(_CODES.get(error.code, StatusCode.UNKNOWN), error.reason, error.message, violations)


def make(
    code: StatusCode,
    reason: str,
    message: str,
    violations: Sequence[Violation] = (),
    retry_delay: timedelta | None = None,
) -> ReverieError:
    """The error of the class that stands for the reason, or else for the code."""
    kind = _BY_REASON.get(reason) or _by_code(code, reason, message)
    return kind(message, code=code, reason=reason, violations=violations, retry_delay=retry_delay)


def _by_code(code: StatusCode, reason: str, message: str) -> type[ReverieError]:
    """What a proxy says, gRPC itself, or a service with a reason that is newer than this client."""
    if code is StatusCode.UNAVAILABLE and reason:
        return Unavailable
    if code is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return TooLarge
    return _BY_CODE.get(code, ReverieError)


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """What the service says beside code and message; empty if it says nothing that can be read."""
    metadata: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    raw = next((v for k, v in metadata if k == _DETAILS_KEY and isinstance(v, bytes)), b"")
    try:
        return status_pb2.Status.FromString(raw)
    except DecodeError:
        return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    """The first detail of that kind."""
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None
