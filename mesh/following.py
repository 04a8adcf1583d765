"""Follows one instance: what its service says of itself, and whether it and its proxy are awake; for ever.

The end of a process is seen at once, its falling silent within `PING_INTERVAL` and `PING_TIMEOUT`; a service
that is awake but answers no call, within `PROBE_INTERVAL` and `PROBE_TIMEOUT`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh import lines
from mesh.beat import Beat
from mesh.resources.endpoint import Condition
from mesh.topology import Instance

PING_INTERVAL = 0.3
"""Seconds between two pings, to one that does not say anything: it may have frozen. So fast is the beat."""
PING_TIMEOUT = 0.5
PROBE_INTERVAL = 2.0
"""Seconds between two questions that a service's own code has to answer: fifty times as dear as pings."""
PROBE_TIMEOUT = 2.0

_RETRY_INTERVAL = 0.1
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Else channels to one address share a connection, and with it its back-off.
    ("grpc.use_local_subchannel_pool", 1),
)
_EVERYTHING = health_pb2.HealthCheckRequest(service="")

Heard = Callable[[Condition], None]


async def service(instance: Instance, heard: Heard, beat: Beat) -> None:
    """Tell what the service is; each time that it is asked, not only when that changes."""
    async with grpc.aio.insecure_channel(f"unix:{instance.app_socket}", options=_CHANNEL_OPTIONS) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            heard(await _until_lost(instance, health, heard, beat))
            await asyncio.sleep(_RETRY_INTERVAL)


async def _until_lost(
    instance: Instance, health: health_pb2_grpc.HealthStub, heard: Heard, beat: Beat
) -> Condition:
    """Listen to a service until it is gone or says nothing more; which of the two."""
    ways = (_watch(health, heard), _probe(health), _ping(instance, beat))
    tasks = {asyncio.ensure_future(way) for way in ways}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    found = {task.result() for task in done}
    return Condition.LOST if Condition.LOST in found else Condition.SILENT


async def _watch(health: health_pb2_grpc.HealthStub, heard: Heard) -> Condition:
    with suppress(grpc.aio.AioRpcError):
        async for response in health.Watch(_EVERYTHING):  # type: ignore[attr-defined]
            serving = response.status == health_pb2.HealthCheckResponse.SERVING
            heard(Condition.SERVING if serving else Condition.LEAVING)
    return Condition.LOST


async def _probe(health: health_pb2_grpc.HealthStub) -> Condition:
    while True:
        await asyncio.sleep(PROBE_INTERVAL)
        try:
            await health.Check(_EVERYTHING, timeout=PROBE_TIMEOUT)  # type: ignore[attr-defined]
        except grpc.aio.AioRpcError as error:
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return Condition.SILENT if late else Condition.LOST


async def _ping(instance: Instance, beat: Beat) -> Condition:
    try:
        line = await lines.http2(instance.app_socket)
    except OSError:
        return Condition.LOST
    return await _while_it_answers(line, beat)


async def _while_it_answers(line: lines.Line, beat: Beat) -> Condition:
    try:
        while await line.answers(PING_TIMEOUT):
            await line.rest(beat)
    finally:
        line.close()
    return Condition.LOST if line.is_cut else Condition.SILENT


async def proxy(instance: Instance, heard: Heard, beat: Beat) -> None:
    """Tell what the instance's proxy is: SERVING when it takes calls, LOST or SILENT."""
    while True:
        heard(await _until_proxy_lost(instance, heard, beat))
        await asyncio.sleep(_RETRY_INTERVAL)


async def _until_proxy_lost(instance: Instance, heard: Heard, beat: Beat) -> Condition:
    try:
        line = await lines.admin(instance.admin_socket)
    except OSError:
        return Condition.LOST
    try:
        if not await line.answers(PING_TIMEOUT):
            return Condition.LOST if line.is_cut else Condition.SILENT
        if not (line.is_ready and await _takes_connections(instance)):
            return Condition.LOST
        heard(Condition.SERVING)
        return await _while_it_answers(line, beat)
    finally:
        line.close()


async def _takes_connections(instance: Instance) -> bool:
    """A proxy is ready when nothing is missing any more of what it asked for, be that nothing at all."""
    if not instance.port:
        return True
    try:
        _, writer = await asyncio.open_connection(instance.address, instance.port)
    except OSError:
        return False
    writer.close()
    return True
