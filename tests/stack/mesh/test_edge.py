"""What applications and operators get at the edge."""

import asyncio
import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.topology import Edge
from ops.local.pki import ensure_jwt_keys
from tests.stack.mesh.table import ASK, BOTH, STICKY, TELL
from tests.stack.mesh.world import Metadata, World, call, eventually, refusal


@pytest.fixture
def edge(world: World) -> Edge:
    return world.topology.edges[0]


async def test_without_a_valid_jwt_every_call_is_unauthenticated(world: World, edge: Edge) -> None:
    genuine = world.bearer()[0][1]
    past = datetime.now(UTC) - timedelta(hours=1)
    bad = [
        (),
        (("authorization", "Bearer nonsense"),),
        (("authorization", genuine[:-8] + "AAAAAAAA"),),
        world.bearer(exp=past),
        world.bearer(exp=None),
        world.bearer(iss="somebody"),
        world.bearer(aud="other"),
    ]
    async with world.edge(edge.public_port) as channel:
        for metadata in bad:
            for api in (TELL, "no.such.Service"):
                assert (await refusal(channel, api, metadata)).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_jwt_of_another_issuers_key_is_refused(world: World, edge: Edge) -> None:
    ours, world.jwt = world.jwt, ensure_jwt_keys(world.home / "foreign-secrets")
    try:
        foreign = world.bearer()
    finally:
        world.jwt = ours
    async with world.edge(edge.public_port) as channel:
        assert (await refusal(channel, TELL, foreign)).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_keys_that_are_replaced_count_from_then_on(world: World, edge: Edge) -> None:
    path = world.topology.jwks
    ours, text = world.jwt, path.read_bytes()
    old = world.bearer()
    world.jwt = ensure_jwt_keys(world.home / "next-secrets")
    path.write_bytes(world.jwt.jwks.read_bytes())

    async def counts(metadata: Metadata) -> bool:
        async with world.edge(edge.public_port) as channel:
            try:
                await call(channel, TELL, metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                    return False
                raise
        return True

    try:
        await eventually(lambda: counts(world.bearer()), "the new key counts")
        assert not await counts(old)
    finally:
        world.jwt = ours
        path.write_bytes(text)
    await eventually(lambda: counts(old), "the old key counts again")


async def test_marks_are_the_edges_own_and_the_jwt_travels_on(world: World, edge: Edge) -> None:
    forged = (
        ("x-reverie-request-id", "forged"),
        ("x-reverie-received-at", "0"),
        ("x-reverie-admin", "yes"),
        ("x-envoy-retry-on", "5xx"),
        ("x-forwarded-client-cert", "URI=spiffe://reverie.local/service/ingest"),
        ("reverie-token", "mine"),
    )
    bearer = world.bearer()
    async with world.edge(edge.public_port) as channel:
        answers = [(await call(channel, TELL, (*bearer, *forged)))["metadata"] for _ in range(3)]
    for answer in answers:
        assert abs(int(answer["x-reverie-received-at"]) - time.time() * 1000) < 5000
        assert not {"x-reverie-admin", "x-envoy-retry-on"} & answer.keys()
        assert answer["authorization"] == bearer[0][1]
        assert answer["reverie-token"] == "mine"
        assert answer["x-forwarded-client-cert"].endswith("URI=spiffe://reverie.local/service/edge")
        assert "ingest" not in answer["x-forwarded-client-cert"]
    ids = {answer["x-reverie-request-id"] for answer in answers}
    assert len(ids) == 3
    assert "forged" not in ids


async def test_every_try_of_a_call_carries_the_same_marks(world: World, edge: Edge) -> None:
    asker = world.services["asker-a-0"]
    asker.refusals, asker.seen = [grpc.StatusCode.UNAVAILABLE], []
    async with world.edge(edge.public_port) as channel:
        await call(channel, ASK, world.bearer())
    first, second = asker.seen
    for mark in ("x-reverie-request-id", "x-reverie-received-at"):
        assert first[mark] == second[mark]


async def test_the_public_listener_serves_only_what_is_public(world: World, edge: Edge) -> None:
    async with world.edge(edge.public_port) as channel:
        assert (await call(channel, ASK, world.bearer()))["instance"] == "asker-a-0"
        for api in (BOTH, STICKY, "no.such.Service"):
            assert (await refusal(channel, api, world.bearer())).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_balancers_learn_without_a_jwt_that_the_edge_is_well(world: World, edge: Edge) -> None:
    for port in (edge.public_port, edge.operator_port):
        async with world.edge(port) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            for service in ("", TELL):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await anext(aiter(health.Watch(health_pb2.HealthCheckRequest(), timeout=5)))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_operators_choose_which_service_answers(world: World, edge: Edge) -> None:
    async with world.edge(edge.operator_port) as channel:
        assert (await call(channel, BOTH, world.bearer()))["instance"] == "asker-a-0"
        for service in ("asker", "teller"):
            chosen = (*world.bearer(), ("reverie-echo-to", service))
            assert (await call(channel, BOTH, chosen))["instance"].startswith(service)
        assert (await call(channel, TELL, world.bearer()))["instance"].startswith("teller")
        assert (await refusal(channel, STICKY, world.bearer())).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_headers_that_are_too_large_are_refused_without_harm(world: World, edge: Edge) -> None:
    async with world.edge(edge.public_port) as channel:
        await refusal(channel, TELL, (*world.bearer(), ("padding", "x" * 60_000)))
        assert (await call(channel, TELL, world.bearer()))["path"] == f"/{TELL}/Do"


async def test_only_tls_1_3_is_spoken(world: World, edge: Edge) -> None:
    context = ssl.create_default_context(cafile=str(world.ca.certificate))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", edge.public_port, ssl=context, server_hostname="localhost")


async def test_who_comes_with_http_1_is_told_what_is_missing(world: World, edge: Edge) -> None:
    context = ssl.create_default_context(cafile=str(world.ca.certificate))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", edge.public_port, ssl=context, server_hostname="localhost"
    )
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"Jwt is missing" in answer


async def test_a_call_that_fails_by_our_fault_is_written_down_with_the_reason(
    world: World, edge: Edge
) -> None:
    world.services["asker-a-0"].refusals = [grpc.StatusCode.INTERNAL]
    async with world.edge(edge.public_port) as channel:
        await refusal(channel, ASK, world.bearer())

    async def written() -> bool:
        lines = [json.loads(line) for line in world.log(edge.id).splitlines() if line.startswith("{")]
        return any(line["path"] == f"/{ASK}/Do" and line["grpc_status"] == "Internal" for line in lines)

    await eventually(written, "the failure in the edge's log")


async def test_messages_of_the_largest_size_pass(world: World, edge: Edge) -> None:
    async with world.edge(edge.public_port) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{TELL}/Do")
        answer = await method(b"x" * (4 * 1024 * 1024), metadata=world.bearer(), timeout=5)
    assert json.loads(answer)["path"] == f"/{TELL}/Do"
