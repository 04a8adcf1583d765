"""`python -m services.query`: one query process."""

from concurrent.futures import ThreadPoolExecutor

import grpc

from reverie.echo.v1 import echo_pb2, echo_pb2_grpc
from reverie.query.v1 import query_pb2_grpc
from services.query.config import QueryConfig
from services.query.memory import SpeakersByOwner, Vectors
from services.query.service import QueryService
from services.runtime import embedder
from services.runtime.client import connect, forwarded
from services.runtime.echo import Echo
from services.runtime.process import run
from services.runtime.server import serve
from services.runtime.telemetry import configure_logging
from services.runtime.tokens import Keyring, Tokens
from services.storage.client import StorageSearchClient

SERVICES = ("reverie.query.v1.QueryService", "reverie.echo.v1.EchoService")


async def main() -> None:
    """Serves until SIGTERM."""
    config = QueryConfig()  # type: ignore[call-arg]
    configure_logging(config.log_level)
    channel = connect(config.egress_socket)
    queries = QueryService(
        StorageSearchClient(channel),
        Tokens(Keyring.load(config.token_keys)),
        Vectors(
            embedder.by_name(config.embedder), ThreadPoolExecutor(1, "embed"), config.remembered_questions
        ),
        SpeakersByOwner(config.remembered_owners),
    )

    def register(server: grpc.aio.Server) -> tuple[str, ...]:
        query_pb2_grpc.add_QueryServiceServicer_to_server(queries, server)  # type: ignore[no-untyped-call]
        echo_pb2_grpc.add_EchoServiceServicer_to_server(echo(channel), server)  # type: ignore[no-untyped-call]
        return SERVICES

    await serve(config, register)
    await channel.close()


def echo(channel: grpc.aio.Channel) -> "Echo[echo_pb2.EchoResponse]":
    """The echo handler: by itself, or by way of storage."""
    storage = echo_pb2_grpc.EchoServiceStub(channel)  # type: ignore[no-untyped-call]

    async def forward(request: echo_pb2.EchoRequest, seconds: float) -> echo_pb2.EchoResponse:
        asked = echo_pb2.EchoRequest(payload=request.payload, response_size=request.response_size)
        response: echo_pb2.EchoResponse = await storage.Echo(asked, metadata=forwarded(), timeout=seconds)
        return response

    return Echo(lambda payload: echo_pb2.EchoResponse(payload=payload), forward)


if __name__ == "__main__":
    run(main())
