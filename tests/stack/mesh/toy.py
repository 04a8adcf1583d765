"""A service of the tests' catalog as a process of its own, so that it can be killed and frozen.

`python -m tests.stack.mesh.toy INSTANCE APP_SOCKET EGRESS_SOCKET`. A teller answers with its id, an asker
with its own and that of the teller whom it asked.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from reverie.echo.v1 import echo_pb2
from services.runtime.client import SERVER_OPTIONS, connect
from services.runtime.errors import ReverieError, StoreDown, from_rpc_error
from services.runtime.health import Health, HealthService
from services.runtime.interceptors import refuse
from services.runtime.process import run
from tests.stack.mesh.table import TELL

Context = grpc.aio.ServicerContext[Any, Any]

STORE_DOWN = b"the store is down"
"""The payload upon which a teller says that its database is away."""
DRAIN_SECONDS = 0.3


class Toy(grpc.GenericRpcHandler):
    """Serves every method."""

    def __init__(self, instance: str, egress: grpc.aio.Channel) -> None:
        self._instance = instance
        self._tell = egress.unary_unary(
            f"/{TELL}/Do",
            request_serializer=echo_pb2.EchoRequest.SerializeToString,
            response_deserializer=echo_pb2.EchoResponse.FromString,
        )

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        if details.method.startswith("/grpc."):
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._answer,
            request_deserializer=echo_pb2.EchoRequest.FromString,
            response_serializer=echo_pb2.EchoResponse.SerializeToString,
        )

    async def _answer(self, request: echo_pb2.EchoRequest, context: Context) -> echo_pb2.EchoResponse:
        try:
            return echo_pb2.EchoResponse(payload=await self._said(request, context))
        except ReverieError as error:
            await refuse(context, error)

    async def _said(self, request: echo_pb2.EchoRequest, context: Context) -> bytes:
        if self._instance.startswith("teller"):
            if request.payload == STORE_DOWN:
                raise StoreDown
            return self._instance.encode()
        try:
            told = await self._tell(request, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return f"{self._instance}>{told.payload.decode()}".encode()


async def main(instance: str, app_socket: str, egress: grpc.aio.Channel) -> None:
    stopping, health = asyncio.Event(), Health()
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((Toy(instance, egress),))
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(health), server)
    server.add_insecure_port(f"unix:{app_socket}")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await server.start()
    health.serving()
    await stopping.wait()
    health.draining()
    await asyncio.sleep(DRAIN_SECONDS)
    health.stopped()
    await server.stop(5)


async def _run(instance: str, app_socket: str, egress_socket: str) -> None:
    async with connect(Path(egress_socket)) as egress:
        await main(instance, app_socket, egress)


if __name__ == "__main__":
    run(_run(*sys.argv[1:]))
