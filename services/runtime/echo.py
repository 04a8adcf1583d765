"""The echo handler that services share: a call that does nothing, to measure what a call costs."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import grpc

from services.runtime import deadline
from services.runtime.errors import InvalidArgument

MAX_BYTES = 1_048_576
"""Bytes of the largest payload, either way."""


class EchoRequest(Protocol):
    """What an echo is asked."""

    payload: bytes
    response_size: int
    forward_to_storage: bool


Response = TypeVar("Response")
Forward = Callable[[Any, float], Awaitable[Response]]
"""Asks storage for the same echo, within so many seconds."""


class Echo(Generic[Response]):
    """Serves `reverie.echo.v1.EchoService`, whose messages it is given: this package knows none."""

    def __init__(self, answer: Callable[[bytes], Response], forward: Forward[Response] | None = None) -> None:
        self._answer = answer
        self._forward = forward

    async def Echo(  # noqa: N802
        self, request: EchoRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Response:
        """Answers with `response_size` bytes, by itself or by way of storage."""
        if not 0 <= request.response_size <= MAX_BYTES:
            raise InvalidArgument.of("response_size", f"is 0 to {MAX_BYTES}")
        if len(request.payload) > MAX_BYTES:
            raise InvalidArgument.of("payload", f"has at most {MAX_BYTES} bytes")
        if not request.forward_to_storage:
            return self._answer(bytes(request.response_size))
        if self._forward is None:
            raise InvalidArgument.of("forward_to_storage", "is false here: this service does not forward")
        return await self._forward(request, deadline.shaved(deadline.remaining(context)))
