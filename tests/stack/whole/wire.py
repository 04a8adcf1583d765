"""Raw calls at a listener: what the client would mend, or refuse by itself, goes out as it is."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message

from reverie_client import errors
from reverie_client.errors import ReverieError
from reverie_client.methods import Method

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)
Metadata = tuple[tuple[str, str], ...]

TOKEN = "reverie-token"
WITHIN = 10.0
_OPTIONS = (
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


def bearer(token: str) -> Metadata:
    """The metadata by which a JWT goes along."""
    return (("authorization", f"Bearer {token}"),)


@dataclass
class Wire:
    """One channel, without retries."""

    channel: grpc.aio.Channel
    token: str = field(default="", init=False)
    """The consistency token of the last answer."""

    async def call(
        self,
        method: Method[Request, Answer],
        request: Request,
        metadata: Metadata = (),
        within: float = WITHIN,
    ) -> Answer:
        """The answer, or the typed error of the only try."""
        begin = self.channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        running = begin(request, timeout=within, metadata=metadata)
        try:
            answer: Answer = await running
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc_error(error) from None
        told = (*await running.initial_metadata(), *await running.trailing_metadata())
        self.token = next((str(value) for key, value in told if key == TOKEN), "")
        return answer

    async def refusal(
        self,
        method: Method[Request, Answer],
        request: Request,
        metadata: Metadata = (),
        within: float = WITHIN,
    ) -> ReverieError:
        """The error that the call has to end with."""
        try:
            answer = await self.call(method, request, metadata, within)
        except ReverieError as error:
            return error
        pytest.fail(f"{method.path} was answered: {str(answer)[:200]!r}")

    async def code(self, path: str, metadata: Metadata = ()) -> grpc.StatusCode:
        """How a call with an empty message ends."""
        begin: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(path)
        return await begin(b"", timeout=WITHIN, metadata=metadata).code()


@asynccontextmanager
async def wired(addresses: Sequence[str], ca: Path) -> AsyncIterator[Wire]:
    """A channel of its own to the first of these edges."""
    async with grpc.aio.secure_channel(addresses[0], _trusting(ca), options=_OPTIONS) as channel:
        yield Wire(channel)


def _trusting(ca: Path) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(ca.read_bytes())


def said(error: ReverieError) -> tuple[grpc.StatusCode, str, str, tuple[errors.Violation, ...]]:
    """Everything by which a caller could tell two refusals apart."""
    return error.code, error.reason, error.message, error.violations
