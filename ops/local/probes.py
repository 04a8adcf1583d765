"""Ways to see that a process is ready: it does what it is there for, not only that it lives."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ops.local import forkserver
from ops.local.postgres import Postgres
from ops.local.valkey import Valkey


@dataclass(frozen=True, slots=True)
class GrpcHealth:
    """The standard health service on a Unix socket says SERVING."""

    socket: Path
    timeout_seconds: float = 2.0

    async def __call__(self) -> bool:
        """False while nobody listens, too."""
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        if not self.socket.exists():  # spares a channel for each try
            return False
        async with grpc.aio.insecure_channel(f"unix:{self.socket}") as channel:
            try:
                check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
                answer = await check(health_pb2.HealthCheckRequest(), timeout=self.timeout_seconds)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@dataclass(frozen=True, slots=True)
class ForkServerAnswers:
    """The fork server has loaded what it is to copy, and answers."""

    socket: Path

    async def __call__(self) -> bool:
        """OSError while it does not."""
        return await asyncio.to_thread(forkserver.answers, self.socket)


@dataclass(frozen=True, slots=True)
class EnvoyLive:
    """The proxy's admin interface says LIVE: it has had its configuration from the control plane."""

    admin_socket: Path

    async def __call__(self) -> bool:
        """OSError while nobody listens."""
        reader, writer = await asyncio.open_unix_connection(str(self.admin_socket))
        try:
            writer.write(b"GET /ready HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
            status = await reader.readline()
            return status.split()[1:2] == [b"200"]
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class PostgresReady:
    """The node takes connections, and has the roles and the database that the services need."""

    postgres: Postgres

    async def __call__(self) -> bool:
        """Makes what is missing."""
        if not await self.postgres.ready():
            return False
        await self.postgres.ensure()
        return True


@dataclass(frozen=True, slots=True)
class ValkeyReady:
    """The node takes commands, and is where it belongs in the cluster."""

    valkey: Valkey

    async def __call__(self) -> bool:
        """Takes it there. ValkeyUnreadyError where waiting does not help."""
        return await self.valkey.ready()
