"""A server with real sockets: who gets in, what errors look like on the other side, how it ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from reverie.echo.v1 import echo_pb2, echo_pb2_grpc
from services.runtime import client, principal, server
from services.runtime.config import ServiceConfig
from services.runtime.echo import Echo
from services.runtime.errors import (
    InvalidArgument,
    PeerUnavailable,
    ReverieError,
    ScopeMissing,
    TooLarge,
    Unauthenticated,
    from_rpc_error,
)

ECHO = "reverie.echo.v1.EchoService"
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


class Issuer:
    """Signs JWTs of one key."""

    def __init__(self, path: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        path.write_text(json.dumps({"keys": [{**public, "kid": "k1", "alg": "ES256"}]}))

    def bearer(self, scope: str = "operator") -> tuple[tuple[str, str]]:
        now = int(time.time())
        claims = {"iss": "reverie", "aud": "reverie", "iat": now, "exp": now + 60, "tenant": str(UUID(int=1))}
        token = jwt.encode(claims | {"scope": scope}, self.key, "ES256", headers={"kid": "k1"})
        return (("authorization", f"Bearer {token}"),)


@dataclass
class Process:
    """A server in this process, and a channel to it."""

    config: ServiceConfig
    issuer: Issuer
    channel: grpc.aio.Channel
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    times: int = 1
    """How often an answer repeats its payload."""

    async def serve(self) -> None:
        await server.serve(self.config, self.register, ready=self.is_ready, stop=self.stop)

    async def is_ready(self) -> None:
        await self.ready.wait()

    def register(self, to: grpc.aio.Server) -> tuple[str, ...]:
        echo = Echo(self.answer, self.forward)
        echo_pb2_grpc.add_EchoServiceServicer_to_server(echo, to)  # type: ignore[no-untyped-call]
        return (ECHO,)

    def answer(self, payload: bytes) -> echo_pb2.EchoResponse:
        return echo_pb2.EchoResponse(payload=payload * self.times)

    async def forward(self, _request: Any, _seconds: float) -> echo_pb2.EchoResponse:
        """Holds the call until it is released."""
        assert principal.current().tenant == UUID(int=1)
        self.entered.set()
        await self.release.wait()
        return self.answer(b"released")

    async def echo(
        self, *, scope: str = "operator", metadata: Any = None, wait: bool = True, **fields: Any
    ) -> bytes:
        stub: Any = echo_pb2_grpc.EchoServiceStub(self.channel)  # type: ignore[no-untyped-call]
        headers = self.issuer.bearer(scope) if metadata is None else metadata
        try:
            answer = await stub.Echo(
                echo_pb2.EchoRequest(**fields), metadata=headers, timeout=10, wait_for_ready=wait
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        return bytes(answer.payload)

    async def health(self, service: str = ECHO) -> int:
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        request = health_pb2.HealthCheckRequest(service=service)
        return int((await stub.Check(request, timeout=10, wait_for_ready=True)).status)


@pytest_asyncio.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    issuer = Issuer(tmp_path / "jwks.json")
    config = ServiceConfig(
        instance="storage-a-0",
        zone="a",
        app_socket=tmp_path / "app.sock",
        jwt_keys=tmp_path / "jwks.json",
        drain_grace_seconds=0,
    )
    async with client.connect(config.app_socket) as channel:
        running = Process(config, issuer, channel)
        serving = asyncio.ensure_future(running.serve())
        yield running
        running.release.set()
        running.stop.set()
        await serving


async def endless(process: Process) -> None:
    while True:
        await process.echo(wait=False)


async def refused(kind: type[ReverieError], call: Any) -> ReverieError:
    with pytest.raises(kind) as raised:
        await call
    return raised.value


async def test_a_call_comes_back(process: Process) -> None:
    assert await process.echo(response_size=5) == bytes(5)
    assert len(await process.echo(response_size=1_048_576)) == 1_048_576


async def test_errors_arrive_by_reason(process: Process) -> None:
    error = await refused(InvalidArgument, process.echo(response_size=-1))
    assert [violation.field for violation in error.violations] == ["response_size"]
    await refused(Unauthenticated, process.echo(metadata=()))
    await refused(Unauthenticated, process.echo(metadata=(("authorization", "Bearer x.y.z"),)))
    await refused(ScopeMissing, process.echo(scope="users:*"))


async def test_a_message_over_the_limit_is_refused_and_the_next_one_is_served(process: Process) -> None:
    await refused(TooLarge, process.echo(payload=bytes(client.MAX_REQUEST_BYTES + 1)))
    assert await process.echo(response_size=1) == b"\0"


async def test_an_answer_may_be_larger_than_any_request(process: Process) -> None:
    size = 1024 * 1024
    process.times = client.MAX_ANSWER_BYTES // size - 1
    assert len(await process.echo(response_size=size)) > 2 * client.MAX_REQUEST_BYTES
    process.times += 1
    await refused(TooLarge, process.echo(response_size=size))


async def test_a_process_is_healthy_once_it_is_ready(process: Process) -> None:
    watch: Any = health_pb2_grpc.HealthStub(process.channel)
    seen = aiter(watch.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True))
    assert (await anext(seen)).status == NOT_SERVING
    assert await process.health() == NOT_SERVING
    process.ready.set()
    assert (await anext(seen)).status == SERVING
    assert await process.health("") == SERVING
    process.stop.set()
    assert (await anext(seen)).status == NOT_SERVING
    assert [each async for each in seen] == []


async def test_calls_under_way_end_before_the_process_does(process: Process) -> None:
    held = asyncio.ensure_future(process.echo(forward_to_storage=True))
    await asyncio.wait_for(process.entered.wait(), 10)
    process.stop.set()
    await refused(PeerUnavailable, asyncio.wait_for(endless(process), 10))
    assert not held.done()
    process.release.set()
    assert await held == b"released"


async def test_a_server_tells_what_it_serves(process: Process) -> None:
    channel: Any = process.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]), wait_for_ready=True)
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {ECHO, "grpc.health.v1.Health"} <= names


async def test_numbers_are_read_from_the_socket_beside(process: Process) -> None:
    await process.echo()
    reader, writer = await asyncio.open_unix_connection(process.config.app_socket.with_name("stats.sock"))
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: storage\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert f'reverie_calls_total{{method="/{ECHO}/Echo",reason="OK"}} 1' in answer
