from datetime import timedelta

import grpc
import pytest

from reverie.memory.v1 import memory_pb2
from reverie_client import errors
from services.runtime import errors as service_errors


def rpc_error(
    code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, str | bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details, debug_error_string=""
    )


def on_the_wire(error: service_errors.ReverieError) -> grpc.aio.AioRpcError:
    status = service_errors.to_status(error)
    return rpc_error(status.code, status.details, tuple(status.trailing_metadata))


@pytest.mark.parametrize("service_error", service_errors.ERRORS, ids=lambda error: error.reason)
def test_every_reason_of_the_services_has_a_class_of_the_same_name(
    service_error: type[service_errors.ReverieError],
) -> None:
    error = errors.from_rpc_error(on_the_wire(service_error("what to do")))
    assert (error.reason, error.code) == (service_error.reason, service_error.code)
    assert error.message == "what to do"
    known = {"DeadlineTooShort": "DeadlineExceeded"}
    assert type(error).__name__ == known.get(service_error.__name__, service_error.__name__)


def test_every_broken_field_arrives() -> None:
    broken = service_errors.InvalidArgument.collected(
        service_errors.Violation(f"memory.labels[{n}]", "has 1 to 64 bytes") for n in range(5)
    )
    error = errors.from_rpc_error(on_the_wire(broken))
    assert [violation.field for violation in error.violations] == [f"memory.labels[{n}]" for n in range(5)]
    assert all(f"memory.labels[{n}]" in str(error) for n in range(5))
    assert str(error).count("memory.labels[0]") == 1


def test_the_delay_that_a_service_asks_for_arrives() -> None:
    error = errors.from_rpc_error(
        on_the_wire(service_errors.Overloaded(retry_delay=timedelta(milliseconds=250)))
    )
    assert isinstance(error, errors.Overloaded)
    assert error.retry_delay == timedelta(milliseconds=250)


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "connection refused", errors.Unreachable),
        (grpc.StatusCode.UNAUTHENTICATED, "Jwt is expired", errors.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, "RBAC: access denied", errors.PermissionDenied),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.DeadlineExceeded),
        (grpc.StatusCode.UNIMPLEMENTED, "", errors.Unimplemented),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", errors.Overloaded),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (5 vs. 4)",
            errors.TooLarge,
        ),
        (grpc.StatusCode.DATA_LOSS, "odd", errors.ReverieError),
    ],
)
def test_what_a_proxy_or_grpc_itself_says_goes_by_its_code(
    code: grpc.StatusCode, details: str, kind: type[errors.ReverieError]
) -> None:
    error = errors.from_rpc_error(rpc_error(code, details))
    assert type(error) is kind
    assert error.reason == ""
    assert str(error) == (details or code.name)


def test_details_that_cannot_be_read_cost_nothing_but_themselves() -> None:
    garbage = (("grpc-status-details-bin", b"\xff\xff\xff"),)
    error = errors.from_rpc_error(rpc_error(grpc.StatusCode.NOT_FOUND, "gone", garbage))
    assert type(error) is errors.NotFound


def test_a_reason_newer_than_the_client_falls_back_on_its_code() -> None:
    error = errors.make(grpc.StatusCode.UNAVAILABLE, "ZONE_ON_FIRE", "elsewhere, please")
    assert type(error) is errors.Unavailable
    assert error.reason == "ZONE_ON_FIRE"


def test_an_item_of_a_batch_gets_the_error_that_the_call_alone_would_have_raised() -> None:
    item = memory_pb2.ItemError(
        code=grpc.StatusCode.ALREADY_EXISTS.value[0], reason="MEMORY_EXISTS", message="other content"
    )
    error = errors.from_item(item)
    assert type(error) is errors.MemoryExists
    assert error.code is grpc.StatusCode.ALREADY_EXISTS
