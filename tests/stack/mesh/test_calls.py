"""Calls between services: who may make which, and what proxies do about failures."""

import asyncio
import contextlib
import time

import grpc

from ops.local.pki import ensure_ca
from services.runtime.errors import (
    DeadlineExceeded,
    Draining,
    Overloaded,
    PeerUnavailable,
    ReverieError,
    StoreDown,
    UnknownOutcome,
    from_rpc_error,
)
from tests.stack.mesh.table import NARROW, ONCE, SECRET, STICKY, TELL
from tests.stack.mesh.world import World, call, eventually, refusal

EJECTED = "cluster.teller.outlier_detection.ejections_active"
EJECTIONS = "cluster.teller.outlier_detection.ejections_enforced_total"


async def test_a_call_travels_through_both_proxies_and_names_its_caller(world: World) -> None:
    async with world.egress("asker-a-0") as channel:
        answer = await call(channel, TELL)
    assert answer["instance"].startswith("teller-")
    assert answer["path"] == f"/{TELL}/Do"
    assert answer["metadata"]["x-forwarded-client-cert"].endswith("URI=spiffe://reverie.local/service/asker")


async def test_what_the_catalog_does_not_list_is_unimplemented_and_says_where_to_look(world: World) -> None:
    async with world.egress("asker-a-0") as channel:
        error = await refusal(channel, SECRET)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "asker does not call this" in str(error.details())


async def test_a_service_without_the_right_is_denied(world: World) -> None:
    teller = world.topology.of("teller")[0]
    async with world.direct(teller, "asker") as channel:
        assert (await call(channel, TELL))["instance"] == teller.id
        assert (await refusal(channel, SECRET)).code() is grpc.StatusCode.PERMISSION_DENIED
        assert (await refusal(channel, "grpc.health.v1.Health")).code() is grpc.StatusCode.PERMISSION_DENIED
    async with world.direct(teller, "stranger") as channel:
        assert (await refusal(channel, TELL)).code() is grpc.StatusCode.PERMISSION_DENIED
    async with world.direct(teller, "edge") as channel:
        assert (await call(channel, TELL))["instance"] == teller.id
        assert (await refusal(channel, STICKY)).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_certificate_of_another_authority_gets_no_connection(world: World) -> None:
    teller, ours = world.topology.of("teller")[0], world.ca
    world.ca = ensure_ca(world.home / "foreign")
    try:
        async with world.direct(teller, "asker", trusts=ours) as channel:
            error = await refusal(channel, TELL)
    finally:
        world.ca = ours
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_calls_with_one_key_stay_with_one_instance(world: World) -> None:
    async with world.egress("asker-a-0") as channel:

        async def each_key_has_one() -> bool:
            seen: dict[str, set[str]] = {}
            for key in [str(number) for number in range(16)] * 3:
                answer = await call(channel, STICKY, (("sticky-key", key),))
                seen.setdefault(key, set()).add(answer["instance"])
            alone = all(len(instances) == 1 for instances in seen.values())
            return alone and set.union(*seen.values()) == {"teller-a-0", "teller-b-0"}

        # One that the test before had ejected comes back for the keys that are its own.
        await eventually(each_key_has_one, "each key stays with one instance, and both have some")


async def test_an_unavailable_instance_is_made_up_for_by_another(world: World) -> None:
    tellers = [world.services[f"teller-{zone}-0"] for zone in "ab"]
    async with world.egress("asker-a-0") as channel:
        for _ in range(8):
            before = sum(teller.calls for teller in tellers)
            tellers[0].refusals = [grpc.StatusCode.UNAVAILABLE]
            await call(channel, TELL)
            assert sum(teller.calls for teller in tellers) - before <= 2
            tellers[0].refusals = []


async def test_only_what_may_be_repeated_is_repeated(world: World) -> None:
    tellers = [world.services[f"teller-{zone}-0"] for zone in "ab"]
    for api, status in ((ONCE, grpc.StatusCode.UNAVAILABLE), (TELL, grpc.StatusCode.INTERNAL)):
        before = sum(teller.calls for teller in tellers)
        for teller in tellers:
            teller.refusals = [status]
        async with world.egress("asker-a-0") as channel:
            assert (await refusal(channel, api)).code() is status
        for teller in tellers:
            teller.refusals = []
        assert sum(teller.calls for teller in tellers) - before == 1


async def test_what_fails_behind_every_instance_is_neither_repeated_nor_a_reason_to_eject(
    world: World,
) -> None:
    async with world.visitor("teller", "a", 1), world.egress("asker-a-0") as channel:
        await world.endpoints("asker-a-0", "teller", 3)
        for failure in (StoreDown(), PeerUnavailable(), UnknownOutcome(), DeadlineExceeded()):
            before = await _calls_and_ejections(world)
            await _all_fail(world, channel, failure, calls=30)
            calls, ejections = await _calls_and_ejections(world)
            assert (calls, ejections) == (before[0] + 30, before[1])


async def _all_fail(world: World, channel: grpc.aio.Channel, failure: ReverieError, calls: int) -> None:
    tellers = [world.services[one.id] for one in world.topology.of("teller")]
    for teller in tellers:
        teller.failure = failure
    try:
        for _ in range(calls):
            assert (await refusal(channel, TELL)).code() is failure.code
    finally:
        for teller in tellers:
            teller.failure = None


async def _calls_and_ejections(world: World) -> tuple[int, int]:
    calls = sum(world.services[one.id].calls for one in world.topology.of("teller"))
    return calls, await world.gauge("asker-a-0", EJECTIONS) or 0


async def test_an_instance_that_drains_is_made_up_for_by_another(world: World) -> None:
    teller = world.services["teller-a-0"]
    teller.failure = Draining()
    before = teller.calls
    try:
        async with world.egress("asker-a-0") as channel:
            for _ in range(10):
                assert (await call(channel, TELL))["instance"] == "teller-b-0"
    finally:
        teller.failure = None
    assert teller.calls > before
    await world.is_gauge("asker-a-0", EJECTED, 0)


async def test_a_full_breaker_is_no_failure_and_what_it_lets_through_goes_on(world: World) -> None:
    hermit = world.services["hermit-a-0"]
    before = hermit.calls
    hermit.thawed.clear()
    async with world.egress("asker-a-0") as channel:
        first = asyncio.ensure_future(call(channel, NARROW))

        async def under_way() -> bool:
            return hermit.calls > before

        await eventually(under_way, "the call that fills the breaker")
        second = await refusal(channel, NARROW)
        hermit.thawed.set()
        assert second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert isinstance(from_rpc_error(second), Overloaded)
        assert (await first)["instance"] == "hermit-a-0"
    assert hermit.calls == before + 1


async def test_more_calls_than_one_breaker_lets_through_reach_an_instance(world: World) -> None:
    """Each caller has a breaker; a service counts all of them together itself."""
    hermit = world.services["hermit-a-0"]
    before = hermit.calls
    hermit.thawed.clear()
    instance = hermit.instance
    async with world.direct(instance, "asker") as channel:
        calls = [asyncio.ensure_future(call(channel, NARROW)) for _ in range(4)]

        async def under_way() -> bool:
            return hermit.calls == before + 4

        try:
            await eventually(under_way, "every call at the hermit")
        finally:
            hermit.thawed.set()
        await asyncio.gather(*calls)


async def test_who_refuses_calls_is_ejected_but_not_who_answers_with_errors(world: World) -> None:
    code, limit = grpc.StatusCode, 5
    teller = world.services["teller-a-0"]
    async with world.visitor("teller", "a", 1), world.egress("asker-a-0") as channel:
        await world.endpoints("asker-a-0", "teller", 3)
        for status in (code.INTERNAL, code.UNKNOWN, code.UNAVAILABLE):
            assert await world.gauge("asker-a-0", EJECTED) == 0
            teller.refusals = [status] * limit
            while teller.refusals:
                await _any_outcome(channel)
        assert await world.gauge("asker-a-0", EJECTED) == 1
        before = teller.calls
        for _ in range(20):
            await call(channel, TELL)
        assert teller.calls == before
    await world.is_gauge("asker-a-0", EJECTED, 0)


async def _any_outcome(channel: grpc.aio.Channel) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call(channel, TELL)


async def test_a_call_ends_at_its_deadline_or_the_catalogs_whichever_is_first(world: World) -> None:
    for teller in ("teller-a-0", "teller-b-0"):
        world.services[teller].delay = 2.6
    try:
        async with world.egress("asker-a-0") as channel:
            for asked, limit in ((5.0, 2.0), (0.3, 0.3)):
                begun = time.monotonic()
                error = await refusal(channel, TELL, deadline=asked)
                assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                assert limit * 0.9 < time.monotonic() - begun < limit + 0.5
    finally:
        for teller in ("teller-a-0", "teller-b-0"):
            world.services[teller].delay = 0.0
