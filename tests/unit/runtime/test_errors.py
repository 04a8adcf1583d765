from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import errors
from services.runtime.errors import (
    DETAILS_KEY,
    ERRORS,
    InternalError,
    InvalidArgument,
    Overloaded,
    PeerUnavailable,
    ReverieError,
    TooLarge,
    Violation,
    from_rpc_error,
    to_status,
)

texts = st.text(max_size=60)


def failed_call(code: grpc.StatusCode, details: Any = "", trailing: Any = ()) -> Any:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)


def over_the_wire(error: Any) -> Any:
    status = to_status(error)
    return from_rpc_error(failed_call(status.code, status.details, status.trailing_metadata))


@given(
    st.sampled_from(ERRORS),
    texts,
    st.lists(st.builds(Violation, texts, texts), max_size=10),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=1)),
)
def test_an_error_is_the_same_on_the_other_side(
    kind: type[ReverieError], message: Any, violations: Any, retry_delay: Any
) -> None:
    error = kind(message, violations=violations, retry_delay=retry_delay)
    arrived = over_the_wire(error)
    assert type(arrived) is kind
    assert arrived.message == error.message
    assert arrived.violations == tuple(violations)
    assert arrived.retry_delay == retry_delay


def test_each_reason_is_one_class() -> None:
    assert len({error.reason for error in ERRORS}) == len(ERRORS)
    assert all(error.reason.isupper() and error.summary for error in ERRORS)


def test_every_class_is_listed() -> None:
    assert set(ERRORS) == set(ReverieError.__subclasses__())


def test_no_error_of_a_client_looks_like_one_of_ours() -> None:
    inside = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
    assert [error for error in ERRORS if error.code in inside] == [InternalError]


def test_a_status_says_its_domain_and_reason() -> None:
    status = status_pb2.Status.FromString(dict(to_status(Overloaded()).trailing_metadata)[DETAILS_KEY])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("reverie", "OVERLOADED")


def test_more_violations_than_a_trailer_holds_are_counted() -> None:
    many = [Violation(f"memory.labels[{index}]", "has 1 to 64 bytes") for index in range(5_000)]
    arrived = over_the_wire(InvalidArgument.collected(many))
    listed = arrived.violations[:-1]
    assert listed == tuple(many[: len(listed)])
    assert arrived.violations[-1].description == f"{5_000 - len(listed)} more fields break their limits"
    assert len(to_status(InvalidArgument.collected(many)).trailing_metadata[0][1]) < 6_000


def test_the_message_about_many_fields_names_three() -> None:
    many = InvalidArgument.collected([Violation(name, "is required") for name in "abcde"])
    assert many.message == "a: is required; b: is required; c: is required; and 2 more"


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "no healthy upstream", PeerUnavailable),
        (grpc.StatusCode.CANCELLED, "CANCELLED", PeerUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", errors.DeadlineExceeded),
        (grpc.StatusCode.UNAUTHENTICATED, "Jwt is expired", errors.Unauthenticated),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 5)", TooLarge),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "", Overloaded),
        (grpc.StatusCode.PERMISSION_DENIED, "RBAC: access denied", InternalError),
        (grpc.StatusCode.UNKNOWN, "", InternalError),
    ],
)
def test_a_proxys_own_failure_is_told_by_its_code(
    code: grpc.StatusCode, details: Any, kind: type[ReverieError]
) -> None:
    assert type(from_rpc_error(failed_call(code, details))) is kind


def test_details_of_another_domain_are_not_ours() -> None:
    status = status_pb2.Status(code=14, message="x")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="MEMORY_EXISTS", domain="elsewhere"))
    error = failed_call(grpc.StatusCode.UNAVAILABLE, "x", ((DETAILS_KEY, status.SerializeToString()),))
    assert type(from_rpc_error(error)) is PeerUnavailable


@pytest.mark.parametrize("details", [b"\xff\xff", b"", b"\x08"])
def test_damaged_details_do_not_hide_the_failure(details: Any) -> None:
    error = failed_call(grpc.StatusCode.UNAVAILABLE, "x", ((DETAILS_KEY, details),))
    assert type(from_rpc_error(error)) is PeerUnavailable
