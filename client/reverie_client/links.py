"""Channels to the edges: one each, opened when it is first needed."""

from collections.abc import Sequence
from typing import Any

import grpc

from reverie_client.exchange import Exchange
from reverie_client.methods import Answer, Method, Request

_LARGEST_ANSWER = 16 * 1024 * 1024
"""A page of 200 memories of 32 KiB each fits twice."""

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _LARGEST_ANSWER),
    # Two connections of one process are two, and closing one leaves nothing behind.
    ("grpc.use_local_subchannel_pool", 1),
    # An edge that comes back is found within the deadline of a call that waits for it.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # An edge that is frozen or cut off is given up within a second, and the calls it had are made again at
    # another. The time-out of keepalive alone does not do it: an unanswered ping has a minute of its own.
    ("grpc.keepalive_time_ms", 300),
    ("grpc.keepalive_timeout_ms", 500),
    ("grpc.http2.ping_timeout_ms", 500),
    ("grpc.http2.max_pings_without_data", 0),
    # Repeating is decided in one place.
    ("grpc.enable_retries", 0),
)

_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
"""Edges answer it themselves, without a JWT."""
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Link:
    """A channel to one edge. It has to be used within the event loop that it was made in."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self._channel = (
            grpc.aio.insecure_channel(address, options=_OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        )
        self._callables: dict[str, Any] = {}

    def start(
        self,
        method: Method[Request, Answer],
        request: Request,
        timeout: float,
        metadata: Sequence[tuple[str, str]],
    ) -> "grpc.aio.UnaryUnaryCall[Request, Answer]":
        """Begins a call; awaiting it gives the answer."""
        begin = self._callables.get(method.path) or self._prepare(method)
        call: grpc.aio.UnaryUnaryCall[Request, Answer] = begin(request, timeout=timeout, metadata=metadata)
        return call

    def exchange(
        self, method: Method[Request, Answer], metadata: Sequence[tuple[str, str]]
    ) -> Exchange[Answer]:
        """Begins a stream of requests and of answers. It has no deadline."""
        begin: Any = self._channel.stream_stream(method.path, response_deserializer=method.answer.FromString)
        return Exchange(begin(metadata=metadata))

    def _prepare(self, method: Method[Request, Answer]) -> Any:
        made = self._channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        self._callables[method.path] = made
        return made

    async def is_well(self, seconds: float) -> bool:
        """Whether the edge answers, whatever it says, within so many seconds."""
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_HEALTH_CHECK)
        try:
            await check(b"", timeout=seconds)
        except grpc.aio.AioRpcError as error:
            return error.code() not in _NO_ANSWER
        return True

    async def close(self) -> None:
        """Ends the calls under way and closes the connection."""
        await self._channel.close()


class Links:
    """The links of a connection, by the index of their edge."""

    def __init__(self, addresses: Sequence[str], credentials: grpc.ChannelCredentials | None) -> None:
        self._addresses = addresses
        self._credentials = credentials
        self._open: dict[int, Link] = {}
        self._closed = False

    def link(self, index: int) -> Link:
        """The link to an edge. RuntimeError after `close`."""
        if (link := self._open.get(index)) is not None:
            return link
        if self._closed:
            raise RuntimeError("this connection to Reverie is closed")
        link = self._open[index] = Link(self._addresses[index], self._credentials)
        return link

    async def close(self) -> None:
        """Closes every link."""
        self._closed = True
        while self._open:
            await self._open.popitem()[1].close()
