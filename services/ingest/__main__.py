"""The ingest process."""

from typing import Any

import grpc

from reverie.echo.v1 import echo_pb2, echo_pb2_grpc
from reverie.ingest.v1 import ingest_pb2_grpc
from services.ingest.batcher import Batcher
from services.ingest.config import IngestConfig
from services.ingest.sending import BatchNumbers
from services.ingest.service import IngestService
from services.ingest.streaming import Streams
from services.runtime import client, process, server, telemetry
from services.runtime.echo import Echo
from services.runtime.tokens import Keyring, Tokens
from services.storage.client import StorageReadClient, StorageWriteClient

SERVICES = ("reverie.ingest.v1.IngestService", "reverie.echo.v1.EchoService")


async def main() -> None:
    """Serves until it is told to stop, and ends when every batch is answered."""
    config = IngestConfig()  # type: ignore[call-arg]  # the environment has them
    telemetry.configure_logging(config.log_level)
    numbers = BatchNumbers()
    async with client.connect(config.egress_socket) as channel, _batcher(config, channel, numbers) as batcher:
        reader = StorageReadClient(channel)
        tokens = Tokens(Keyring.load(config.token_keys))
        streams = Streams(batcher, tokens, config.stream_settings)
        service = IngestService(batcher, reader, tokens, streams)

        def register(to: grpc.aio.Server) -> tuple[str, ...]:
            ingest_pb2_grpc.add_IngestServiceServicer_to_server(service, to)  # type: ignore[no-untyped-call]
            echo_pb2_grpc.add_EchoServiceServicer_to_server(_echo(channel), to)  # type: ignore[no-untyped-call]
            return SERVICES

        await server.serve(config, register, before_stop=streams.drain, metrics=numbers.metrics)


def _batcher(config: IngestConfig, channel: grpc.aio.Channel, numbers: BatchNumbers) -> Batcher:
    return Batcher(
        StorageWriteClient(channel).write_batch,
        lanes=config.lanes,
        bulk_lanes=config.bulk_lanes,
        queue_rows=config.queue_rows,
        queue_bytes=config.queue_bytes,
        numbers=numbers,
    )


def _echo(channel: grpc.aio.Channel) -> Echo[echo_pb2.EchoResponse]:
    storage = echo_pb2_grpc.EchoServiceStub(channel)  # type: ignore[no-untyped-call]

    async def forward(request: Any, seconds: float) -> echo_pb2.EchoResponse:
        onward = echo_pb2.EchoRequest(payload=request.payload, response_size=request.response_size)
        answer: echo_pb2.EchoResponse = await storage.Echo(
            onward, timeout=seconds, metadata=client.forwarded()
        )
        return answer

    return Echo(lambda payload: echo_pb2.EchoResponse(payload=payload), forward)


if __name__ == "__main__":
    process.run(main())
