from dataclasses import dataclass
from typing import Any

import pytest

from services.runtime.echo import MAX_BYTES, Echo
from services.runtime.errors import DeadlineTooShort, InvalidArgument


@dataclass
class Request:
    payload: bytes = b""
    response_size: int = 0
    forward_to_storage: bool = False


class Context:
    def __init__(self, left: float | None) -> None:
        self.left = left

    def time_remaining(self) -> Any:
        return self.left


def context(left: float | None = None) -> Any:
    return Context(left)


async def forward(request: Any, seconds: float) -> Any:
    return "forwarded", request.response_size, seconds


async def test_an_echo_is_as_long_as_asked_for() -> None:
    assert await Echo(len).Echo(Request(b"abc", 5), context()) == 5


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request(response_size=-1), "response_size"),
        (Request(response_size=MAX_BYTES + 1), "response_size"),
        (Request(payload=bytes(MAX_BYTES + 1)), "payload"),
        (Request(forward_to_storage=True), "forward_to_storage"),
    ],
)
async def test_what_breaks_a_limit_is_refused(request_: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await Echo(len).Echo(request_, context())
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_a_forwarded_echo_keeps_the_callers_deadline() -> None:
    echo = Echo(len, forward)
    kind, size, seconds = await echo.Echo(Request(b"", 7, forward_to_storage=True), context(2.0))
    assert (kind, size) == ("forwarded", 7)
    assert 1.9 < seconds < 2.0
    with pytest.raises(DeadlineTooShort):
        await echo.Echo(Request(forward_to_storage=True), context(0.001))
