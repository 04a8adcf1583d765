"""Instances and control planes come, go and fail while calls go on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from reverie.mesh.v1 import mesh_pb2
from tests.stack.mesh.table import TELL
from tests.stack.mesh.world import World, call, eventually
from tests.stack.servers import free_port

CALLERS = 6


class Load:
    """What became of the calls that were made meanwhile."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.failures: list[str] = []
        self.stop = False


@asynccontextmanager
async def load(world: World) -> AsyncIterator[Load]:
    """Several callers, one call after the other, as the asker. Any failure fails the test."""
    result = Load()

    async def caller() -> None:
        async with world.egress("asker-a-0") as channel:
            while not result.stop:
                try:
                    result.answers.append((await call(channel, TELL))["instance"])
                except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
                    result.failures.append(str(error))
                await asyncio.sleep(0.002)

    callers = [asyncio.ensure_future(caller()) for _ in range(CALLERS)]
    try:
        yield result
    finally:
        result.stop = True
        await asyncio.gather(*callers)
    assert result.failures == []
    assert len(result.answers) > 50


async def _answers_from(result: Load, instance: str, *, within: float = 5.0) -> None:
    begun = len(result.answers)

    async def holds() -> bool:
        return instance in result.answers[begun:]

    await eventually(holds, f"an answer from {instance}", within)


async def _no_more_from(result: Load, instance: str) -> None:
    async def holds() -> bool:
        begun = len(result.answers)
        await asyncio.sleep(0.1)
        return instance not in result.answers[begun:]

    await eventually(holds, f"no answer from {instance}")


async def test_a_new_instance_is_used_and_a_leaving_one_avoided_without_a_failed_call(world: World) -> None:
    async with load(world) as result:
        async with world.visitor("teller", "a", 1):
            await _answers_from(result, "teller-a-1")
            await world.services["teller-a-1"].stop(grace=1.0)
            await _no_more_from(result, "teller-a-1")
        await _answers_from(result, "teller-a-0")


async def test_an_instance_that_dies_costs_no_call_and_is_used_again_when_it_is_back(world: World) -> None:
    async with load(world) as result:
        await _answers_from(result, "teller-a-0")
        await world.services["teller-a-0"].stop(grace=None)
        await _no_more_from(result, "teller-a-0")
        await _answers_from(result, "teller-b-0")
        await world.services["teller-a-0"].start()
        await _answers_from(result, "teller-a-0")


async def test_an_instance_that_freezes_is_avoided_and_used_again_when_it_goes_on(world: World) -> None:
    world.services["teller-a-0"].thawed.clear()
    try:
        await world.endpoints("asker-a-0", "teller", 1, "healthy")
        async with world.egress("asker-a-0") as channel:
            answers = {(await call(channel, TELL))["instance"] for _ in range(20)}
    finally:
        world.services["teller-a-0"].thawed.set()
    assert answers == {"teller-b-0"}
    await world.endpoints("asker-a-0", "teller", 2, "healthy")


async def test_each_zone_keeps_to_itself_while_it_can(world: World) -> None:
    async with AsyncExitStack() as stack:
        for service, zone in (("teller", "c"), ("asker", "b"), ("asker", "c")):
            await stack.enter_async_context(world.visitor(service, zone, 0))
        await world.in_sync()
        channel = await stack.enter_async_context(world.egress("asker-c-0"))
        await world.endpoints("asker-c-0", "teller", 3, "healthy")
        assert {(await call(channel, TELL))["instance"] for _ in range(20)} == {"teller-c-0"}
        await world.services["teller-c-0"].stop(grace=1.0)
        assert {(await call(channel, TELL))["instance"] for _ in range(20)} <= {"teller-a-0", "teller-b-0"}


async def test_a_topology_that_can_not_be_read_or_built_changes_nothing(world: World) -> None:
    good = world.topology
    unknown = replace(
        good.instances[0],
        id="nobody-a-0",
        service="nobody",
        port=free_port(),
        app_socket=world.home / "nobody.app",
        egress_socket=world.home / "nobody.egress",
        admin_socket=world.home / "nobody.admin",
    )
    bad = replace(good, instances=(*good.instances, unknown))
    async with load(world):
        for break_it in (
            lambda: world.topology_path.write_text("{"),
            lambda: world.topology_path.write_text("{}"),
            lambda: world.publish(bad),
        ):
            before = world.log("mesh").count("topology refused")
            break_it()

            async def refused(before: int = before) -> bool:
                return world.log("mesh").count("topology refused") > before

            await eventually(refused, "the refusal in the log")
        world.publish(good)
    await world.in_sync()


async def test_flips_lose_nothing(world: World) -> None:
    everybody = world.topology
    fewer = replace(everybody, instances=tuple(one for one in everybody.instances if one.id != "teller-a-0"))
    async with load(world) as result:
        for _ in range(10):
            world.publish(fewer)
            await world.endpoints("asker-a-0", "teller", 1)
            world.publish(everybody)
            await world.endpoints("asker-a-0", "teller", 2)
        await _answers_from(result, "teller-a-0")
    await world.in_sync()


async def test_what_a_proxy_refuses_is_shown_and_what_it_had_goes_on(world: World) -> None:
    good = world.topology
    asker = good.of("asker")[0]
    broken = replace(asker, certificate=world.home / "not-there.pem")
    others = tuple(one for one in good.instances if one.id != asker.id)
    async with load(world):
        world.publish(replace(good, instances=(*others, broken)))

        async def refused() -> bool:
            proxy = (await world.proxies())[asker.id]
            states = {kind.type_url.rsplit(".", 1)[-1]: kind for kind in proxy.types}
            cluster, listener = states["Cluster"], states["Listener"]
            return (
                cluster.state == listener.state == mesh_pb2.SYNC_STATE_REJECTED
                and "not-there.pem" in cluster.error
                and "not-there.pem" in listener.error
            )

        await eventually(refused, "the refusal in ListProxies")
        world.publish(good)
        await world.in_sync()


async def test_calls_go_on_without_a_control_plane_and_it_catches_up_when_it_is_back(world: World) -> None:
    async with load(world) as result:
        world.kill("mesh")
        begun = len(result.answers)

        async def goes_on() -> bool:
            return len(result.answers) > begun + 100

        await eventually(goes_on, "calls without a control plane")
        await world.start_plane()
        await world.in_sync()
        async with world.visitor("teller", "a", 2):
            await _answers_from(result, "teller-a-2")


async def test_a_proxy_that_is_killed_is_told_everything_again(world: World) -> None:
    asker = world.topology.of("asker")[0]
    world.kill(asker.id)

    async def gone() -> bool:
        return not (await world.proxies())[asker.id].connected

    await eventually(gone, "the proxy shown as not connected")
    world.envoy(asker.id, asker.service, asker.zone, asker.admin_socket)
    await world.in_sync()
    async with world.egress(asker.id) as channel:
        assert (await call(channel, TELL))["instance"].startswith("teller")


async def test_calls_under_way_at_a_proxy_that_dies_are_answered_by_another(world: World) -> None:
    tellers = [world.services[f"teller-{zone}-0"] for zone in "ab"]
    dying = world.topology.of("teller")[0]
    before = tellers[0].calls
    for teller in tellers:
        teller.thawed.clear()
    async with world.egress("asker-a-0") as channel:
        calls = [asyncio.ensure_future(call(channel, TELL)) for _ in range(8)]

        async def under_way() -> bool:
            return tellers[0].calls > before

        await eventually(under_way, "a call at the proxy that is about to die")
        world.kill(dying.id)
        for teller in tellers:
            teller.thawed.set()
        answers = await asyncio.gather(*calls)
    assert {answer["instance"] for answer in answers} == {"teller-b-0"}
    world.envoy(dying.id, dying.service, dying.zone, dying.admin_socket)
    await world.in_sync()
    await world.endpoints("asker-a-0", "teller", 2, "healthy")


async def test_a_frozen_control_plane_is_survived(world: World) -> None:
    plane = world.processes["mesh"].pid
    async with load(world) as result:
        os.kill(plane, signal.SIGSTOP)
        try:
            begun = len(result.answers)

            async def goes_on() -> bool:
                return len(result.answers) > begun + 100

            await eventually(goes_on, "calls with a frozen control plane")
        finally:
            os.kill(plane, signal.SIGCONT)
    await world.in_sync()
