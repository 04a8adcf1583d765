"""What can go wrong, once: each class is one reason, with one gRPC code, on the wire and off it.

A service raises these; an interceptor turns them into a status with `google.rpc.ErrorInfo` (domain
"reverie"), `BadRequest` and `RetryInfo`; a caller gets the same class back by `from_rpc_error`.
"""

# ruff: noqa: N818  (the classes are named after their reasons)

from collections.abc import Iterable
from datetime import timedelta
from typing import ClassVar, NamedTuple, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "reverie"
"""The domain of every `ErrorInfo` of ours."""

DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata that holds the details."""

MAX_DETAIL_BYTES = 5_000
"""Bytes of field violations in a status: gRPC refuses trailers beyond 8 KiB, and base64 adds a third."""

Code = grpc.StatusCode


class Violation(NamedTuple):
    """A field that breaks a limit: its path, as "memory.labels[2]", and which limit."""

    field: str
    description: str


class ReverieError(Exception):
    """An error with a place in the contract.

    `message` says, for a person, what is wrong and what to do next; left empty it is the class's own.
    """

    code: ClassVar[grpc.StatusCode] = Code.INTERNAL
    reason: ClassVar[str] = "INTERNAL"
    summary: ClassVar[str] = "something failed inside; the service's log says what"

    def __init__(
        self,
        message: str = "",
        *,
        violations: Iterable[Violation] = (),
        retry_delay: timedelta | None = None,
    ) -> None:
        self.message = message or self.summary
        self.violations = tuple(violations)
        self.retry_delay = retry_delay
        self.from_peer = False
        """Whether another process said it."""
        super().__init__(self.message)


class InternalError(ReverieError):
    """Raised when something failed that should not: by a callee, or by a callee's fault unknown to us."""


class InvalidArgument(ReverieError):
    """Raised when fields of a request break their limits; names all of them."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"
    summary = "the request breaks a limit"

    @classmethod
    def of(cls, field: str, description: str) -> Self:
        """The error for one field."""
        return cls.collected([Violation(field, description)])

    @classmethod
    def collected(cls, violations: Iterable[Violation]) -> Self:
        """The error for several fields; its message lists the first three."""
        found = tuple(violations)
        said = "; ".join(f"{field}: {description}" for field, description in found[:3])
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        return cls(said + more, violations=found)


class TokenInvalid(ReverieError):
    """Raised when a page token or consistency token is forged, damaged, foreign, or of a key that is gone."""

    code = Code.INVALID_ARGUMENT
    reason = "TOKEN_INVALID"
    summary = "the token is not one of ours, or not for this request; start again without it"


class TooLarge(ReverieError):
    """Raised when a message is over its limit of bytes."""

    code = Code.INVALID_ARGUMENT
    reason = "TOO_LARGE"
    summary = "the message is larger than 4 MiB; split it"


class StoreRefused(ReverieError):
    """Raised when the database refused a row for its data."""

    code = Code.INVALID_ARGUMENT
    reason = "STORE_REFUSED"
    summary = "the database refused the memory for its data"


class MemoryNotFound(ReverieError):
    """Raised when there is no such memory for this caller."""

    code = Code.NOT_FOUND
    reason = "MEMORY_NOT_FOUND"
    summary = "there is no such memory"


class MemoryExists(ReverieError):
    """Raised when the id of a create holds another body."""

    code = Code.ALREADY_EXISTS
    reason = "MEMORY_EXISTS"
    summary = "the id belongs to a memory with other content; choose another id"


class MemoryDeleted(ReverieError):
    """Raised when the memory was deleted; its id is never used again."""

    code = Code.FAILED_PRECONDITION
    reason = "MEMORY_DELETED"
    summary = "the memory was deleted; its id is never used again"


class OwnerErased(ReverieError):
    """Raised when the user was erased and not reopened."""

    code = Code.FAILED_PRECONDITION
    reason = "OWNER_ERASED"
    summary = "the user was erased; an operator can reopen it"


class EtagMismatch(ReverieError):
    """Raised when the memory is in another state than the request names."""

    code = Code.ABORTED
    reason = "ETAG_MISMATCH"
    summary = "the memory has changed; read it again and repeat with its etag"


class UserForbidden(ReverieError):
    """Raised when the caller may not act for that user."""

    code = Code.PERMISSION_DENIED
    reason = "USER_FORBIDDEN"
    summary = "the token is not for this user and lacks the scope users:*"


class ScopeMissing(ReverieError):
    """Raised when the caller's token lacks a scope."""

    code = Code.PERMISSION_DENIED
    reason = "SCOPE_MISSING"
    summary = "the token lacks a scope"


class Unauthenticated(ReverieError):
    """Raised when a call carries no JWT, or one that is forged, expired or not for us."""

    code = Code.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"
    summary = "the call needs a valid JWT: authorization: Bearer <jwt>"


class UnknownOutcome(ReverieError):
    """Raised when a write may or may not have happened."""

    code = Code.UNAVAILABLE
    reason = "UNKNOWN_OUTCOME"
    summary = "the write may or may not have happened; repeat it with the same id"


class StoreDown(ReverieError):
    """Raised when the database does not answer; nothing was written."""

    code = Code.UNAVAILABLE
    reason = "STORE_DOWN"
    summary = "the database does not answer; nothing was written; try again"


class StoreFull(ReverieError):
    """Raised when the database has no room left; nothing was written."""

    code = Code.UNAVAILABLE
    reason = "STORE_FULL"
    summary = "the database's disk is full; nothing was written"


class StalePrimary(ReverieError):
    """Raised when a database node knows less than the caller has seen."""

    code = Code.UNAVAILABLE
    reason = "STALE_PRIMARY"
    summary = "this database node is behind what the caller has seen; try again"


class Draining(ReverieError):
    """Raised when the instance is about to stop; nothing was done."""

    code = Code.UNAVAILABLE
    reason = "DRAINING"
    summary = "the instance is stopping; nothing was done; try again"


class PeerUnavailable(ReverieError):
    """Raised when no instance of a service could be reached."""

    code = Code.UNAVAILABLE
    reason = "PEER_UNAVAILABLE"
    summary = "a service behind this one cannot be reached; try again"


class Overloaded(ReverieError):
    """Raised when there is more work than room; nothing was done."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"
    summary = "too much is under way; nothing was done; try again after the delay"


class DeadlineTooShort(ReverieError):
    """Raised when the work cannot end in the time that is left; nothing was done."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_TOO_SHORT"
    summary = "the deadline left no time for the work; nothing was done"


class Unimplemented(ReverieError):
    """Raised when this version does not have what is asked for."""

    code = Code.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"
    summary = "this version does not have it"


class DeadlineExceeded(ReverieError):
    """Raised when time ran out during a call; what it did is not known."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    summary = "time ran out"


ERRORS: tuple[type[ReverieError], ...] = (
    InternalError, InvalidArgument, TokenInvalid, TooLarge, StoreRefused, MemoryNotFound, MemoryExists,
    MemoryDeleted, OwnerErased, EtagMismatch, UserForbidden, ScopeMissing, Unauthenticated, UnknownOutcome,
    StoreDown, StoreFull, StalePrimary, Draining, PeerUnavailable, Overloaded, DeadlineTooShort,
    DeadlineExceeded, Unimplemented,
)  # fmt: skip
"""Every reason."""

_BY_REASON = {error.reason: error for error in ERRORS}


def to_status(error: ReverieError) -> grpc.Status:
    """The gRPC status with the error's details; `trailing_metadata` holds them."""
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.violations:
        status.details.add().Pack(_bad_request(error.violations))
    if error.retry_delay is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_delay)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return rpc_status.to_status(status)


def from_rpc_error(error: grpc.aio.AioRpcError) -> ReverieError:
    """The error behind a failed call; one without details of ours (a proxy's, say) by its code."""
    try:
        found = _by_reason(error)
    except DecodeError:
        found = None
    told = found or _by_code(error)
    told.from_peer = True
    return told


def _by_reason(error: grpc.aio.AioRpcError) -> ReverieError | None:
    """The error that the details name; None if they name none of ours. DecodeError if they are damaged."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata():
        if key == DETAILS_KEY:
            status.MergeFromString(value)
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        # Unpack fills the first that fits and leaves the others alone.
        _ = detail.Unpack(info) or detail.Unpack(bad_request) or detail.Unpack(retry)
    if info.domain != DOMAIN or info.reason not in _BY_REASON:
        return None
    return _BY_REASON[info.reason](
        status.message,
        violations=(Violation(broken.field, broken.description) for broken in bad_request.field_violations),
        retry_delay=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
    )


def _bad_request(violations: tuple[Violation, ...]) -> error_details_pb2.BadRequest:
    """The violations as far as a trailer has room for them; the last entry says how many more there are."""
    bad_request = error_details_pb2.BadRequest()
    room = MAX_DETAIL_BYTES
    for listed, (field, description) in enumerate(violations):
        room -= len(field) + len(description) + 8
        if room < 0:
            more = f"{len(violations) - listed} more fields break their limits"
            bad_request.field_violations.add(field="...", description=more)
            break
        bad_request.field_violations.add(field=field, description=description)
    return bad_request


def _by_code(error: grpc.aio.AioRpcError) -> ReverieError:
    code, said = error.code(), error.details() or ""
    if code in {Code.UNAVAILABLE, Code.CANCELLED}:
        # A server that stops cancels what just arrived.
        return PeerUnavailable(said)
    if code == Code.DEADLINE_EXCEEDED:
        return DeadlineExceeded(said)
    if code == Code.UNAUTHENTICATED:
        return Unauthenticated(said)
    if code == Code.RESOURCE_EXHAUSTED:
        return TooLarge(said) if "larger than max" in said else Overloaded(said)
    return InternalError(f"{code.name}: {said}")
