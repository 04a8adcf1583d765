import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.health import Health, HealthService, State

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
ORDER = list(State)


class Context:
    """A call that can only be aborted."""

    async def abort(self, code: grpc.StatusCode, details: Any) -> None:
        raise LookupError(code, details)


CONTEXT: Any = Context()


def ask(service: Any = "") -> Any:
    return health_pb2.HealthCheckRequest(service=service)


@given(st.lists(st.sampled_from(["serving", "draining", "stopped"])))
def test_health_never_moves_back(steps: Any) -> None:
    health = Health()
    for step in steps:
        before = ORDER.index(health.state)
        getattr(health, step)()
        assert ORDER.index(health.state) >= before


def test_a_process_is_healthy_only_while_it_serves() -> None:
    health = Health(["a.B"])
    seen = [health.status("a.B")]
    for step in (health.serving, health.draining, health.serving, health.stopped):
        step()
        seen.append(health.status("a.B"))
        assert health.status("") == seen[-1]
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING, NOT_SERVING, NOT_SERVING]


def test_a_service_that_is_not_here_is_unknown() -> None:
    assert Health(["a.B"]).status("c.D") == UNKNOWN


async def test_a_check_of_a_service_that_is_not_here_is_not_found() -> None:
    service = HealthService(Health(["a.B"]))
    assert (await service.Check(ask("a.B"), CONTEXT)).status == NOT_SERVING
    with pytest.raises(LookupError) as refused:
        await service.Check(ask("c.D"), CONTEXT)
    assert refused.value.args[0] == grpc.StatusCode.NOT_FOUND


async def test_a_watch_tells_every_change_and_ends_with_the_process() -> None:
    health = Health(["a.B"])
    watch = HealthService(health).Watch(ask("a.B"), CONTEXT)
    assert (await anext(watch)).status == NOT_SERVING
    for step, expected in ((health.serving, SERVING), (health.draining, NOT_SERVING)):
        following = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        assert not following.done()
        step()
        assert (await following).status == expected
    health.stopped()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_change_between_two_looks_of_a_watch_is_not_missed() -> None:
    health = Health()
    statuses = health.statuses("")
    assert await anext(statuses) == NOT_SERVING
    health.serving()
    assert await anext(statuses) == SERVING
