"""A stream of requests and of answers, with errors by reason."""

import asyncio
from typing import Any, Generic

import grpc

from reverie_client import errors
from reverie_client.errors import ReverieError, Unreachable
from reverie_client.methods import Answer

_BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
"""What gRPC calls a stream that broke off on the way. A service that says these gives a reason."""


class Exchange(Generic[Answer]):
    """One stream. Its requests, which are encoded, and its answers are independent of each other."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, request: bytes) -> None:
        """Sends a request, when there is room on the way. On a stream that has ended: nothing."""
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # Whoever receives hears why it ended.
            return

    async def finish(self) -> None:
        """Says that no more requests come."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    async def receive(self) -> Answer | None:
        """The next answer; None after the last one. Raises what the stream ended with otherwise."""
        try:
            answer: Answer | Any = await self._call.read()
        except grpc.aio.AioRpcError as failure:
            raise _error(failure) from None
        return None if answer is grpc.aio.EOF else answer

    def cancel(self) -> None:
        """Ends it at once."""
        self._call.cancel()


def _error(failure: grpc.aio.AioRpcError) -> ReverieError:
    error = errors.from_rpc_error(failure)
    if error.reason or error.code not in _BROKEN:
        return error
    return Unreachable(f"the stream broke off: {error.message}", code=error.code)
