"""Whether this process takes calls: a small state machine, and the standard health service over it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Response = health_pb2.HealthCheckResponse


class State(Enum):
    """The life of a process, in order."""

    STARTING = "starting"
    """It waits for what it needs."""
    SERVING = "serving"
    """It takes calls."""
    DRAINING = "draining"
    """It takes no new calls: for good."""
    STOPPED = "stopped"
    """It says no more."""


class Health:
    """The state of this process; it only ever moves forward."""

    def __init__(self, services: Sequence[str] = ()) -> None:
        self.state = State.STARTING
        self._services = frozenset(("", *services))
        self._changed = asyncio.Event()

    def serving(self) -> None:
        """Takes calls from now on, unless it drains already."""
        if self.state is State.STARTING:
            self._move(State.SERVING)

    def draining(self) -> None:
        """Takes no new calls from now on."""
        if self.state in {State.STARTING, State.SERVING}:
            self._move(State.DRAINING)

    def stopped(self) -> None:
        """Ends every watch, so that none keeps the server from stopping."""
        self._move(State.STOPPED)

    def status(self, service: str) -> int:
        """What the health service answers about a service; "" is the whole process."""
        if service not in self._services:
            return int(Response.SERVICE_UNKNOWN)
        return int(Response.SERVING if self.state is State.SERVING else Response.NOT_SERVING)

    async def statuses(self, service: str) -> AsyncIterator[int]:
        """The answer now, then each new one, until the process stops."""
        while self.state is not State.STOPPED:
            # Taken before the state is looked at: no change slips between.
            changed = self._changed
            yield self.status(service)
            await changed.wait()

    def _move(self, state: State) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()


class HealthService(health_pb2_grpc.HealthServicer):
    """grpc.health.v1.Health, by `Health`."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """Answers once; NOT_FOUND for a service that is not here."""
        status = self._health.status(request.service)
        if status == Response.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return Response(status=status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Answers now and at each change."""
        async for status in self._health.statuses(request.service):
            yield Response(status=status)
