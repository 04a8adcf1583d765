"""Who is woken by what, and what is remembered of whom."""

import asyncio
from datetime import UTC, datetime

from mesh.cache import Cache, Session
from mesh.subscription import Request
from mesh.wire import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, Snapshot

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def contents(version: str) -> Snapshot:
    return {CLUSTER: {}, ENDPOINT: {}, LISTENER: {"in": Resource("in", version, b"")}, ROUTE: {}}


async def is_woken(session: Session) -> bool:
    waiting = asyncio.ensure_future(session.woken(None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return done


def cache(**snapshots: Snapshot) -> Cache:
    made = Cache(lambda: NOW)
    made.publish(snapshots)
    return made


async def test_only_proxies_whose_contents_changed_are_woken() -> None:
    made = cache(one=contents("1"), two=contents("1"))
    one, two = made.open("one"), made.open("two")
    assert await is_woken(one)
    assert await is_woken(two)
    made.publish({"one": contents("2"), "two": contents("1")})
    assert await is_woken(one)
    assert not await is_woken(two)


async def test_a_proxy_that_is_not_known_any_more_keeps_what_it_has() -> None:
    made = cache(one=contents("1"))
    session = made.open("one")
    assert await is_woken(session)
    made.publish({})
    assert not await is_woken(session)
    assert session.snapshot == contents("1")


async def test_waiting_ends_at_its_time_without_being_woken() -> None:
    session = cache(one=contents("1")).open("one")
    await session.woken(None)
    await session.woken(0.0)
    session.wake()
    await session.woken(0.0)


def test_the_end_of_an_old_stream_does_not_touch_the_new_one() -> None:
    made = cache(one=contents("1"))
    old, new = made.open("one"), made.open("one")
    made.close(old)
    assert new.connected
    assert made.sessions() == [new]


def test_a_proxy_that_was_connected_is_remembered_until_the_topology_forgets_it() -> None:
    made = cache(one=contents("1"))
    session = made.open("one")
    made.close(session)
    assert [(it.node_id, it.connected, it.connect_time) for it in made.sessions()] == [("one", False, NOW)]
    made.publish({})
    assert made.sessions() == []


def test_a_proxy_that_connects_before_it_is_known_gets_its_contents_when_it_is() -> None:
    made = cache()
    session = made.open("one")
    made.hear(session, LISTENER, Request())
    assert session.conversation.advance(0.0) == []
    made.publish({"one": contents("1")})
    assert [kind for kind, _ in session.conversation.advance(0.0)] == [LISTENER]
