"""When an instance is balanced over."""

import pytest

from mesh.presence import Presence, Proxy, believed
from mesh.resources.endpoint import Condition


def presence(proxy: Proxy, *said: Condition) -> Presence:
    made = Presence(proxy)
    for condition in said:
        made.app_is(condition)
    return made


SERVING, LEAVING = Condition.SERVING, Condition.LEAVING
SILENT, LOST = Condition.SILENT, Condition.LOST


@pytest.mark.parametrize(
    ("proxy", "said", "told"),
    [
        (Proxy.READY, [SERVING], SERVING),
        (Proxy.READY, [SERVING, LEAVING], LEAVING),
        (Proxy.READY, [SERVING, LOST], LOST),
        (Proxy.READY, [SERVING, LOST, SERVING], SERVING),
        (Proxy.READY, [SERVING, SILENT], SILENT),
        (Proxy.READY, [LEAVING, SILENT], LEAVING),
        (Proxy.SILENT, [SERVING], SILENT),
        (Proxy.SILENT, [LOST], LOST),
        (Proxy.EXPECTED, [SERVING], LEAVING),
        (Proxy.EXPECTED, [LOST], LEAVING),
        (Proxy.GONE, [SERVING], LOST),
        (Proxy.GONE, [LEAVING], LEAVING),
        (Proxy.ASSUMED, [], SERVING),
        (Proxy.ASSUMED, [LOST], LOST),
    ],
)
def test_both_the_service_and_its_proxy_must_be_there(
    proxy: Proxy, said: list[Condition], told: Condition
) -> None:
    assert presence(proxy, *said).condition is told


def test_one_that_said_goodbye_has_gone_and_is_not_lost() -> None:
    leaver = presence(Proxy.READY, SERVING, LEAVING, LOST, LOST)
    assert leaver.condition is LEAVING
    leaver.app_is(SERVING)
    assert leaver.condition is SERVING


def test_a_proxy_is_gone_only_if_it_was_there() -> None:
    new = presence(Proxy.EXPECTED, SERVING)
    for silence in (LOST, SILENT):
        new.proxy_is(silence)
        assert new.condition is LEAVING
    for said in (SERVING, LOST, SERVING, SILENT, SERVING):
        new.proxy_is(said)
        assert new.condition is said


def test_before_both_were_asked_nothing_is_known() -> None:
    assumed = presence(Proxy.ASSUMED, SERVING)
    assert not assumed.is_heard_of
    assumed.proxy_is(LOST)
    assert assumed.is_heard_of
    assert not presence(Proxy.READY).is_heard_of


def test_who_finds_most_others_silent_does_not_believe_it() -> None:
    ready = {str(number): presence(Proxy.READY, SERVING) for number in range(6)}
    ready["gone"] = presence(Proxy.READY, LOST)
    for node in "012":
        ready[node].app_is(SILENT)
    assert [believed(ready)[node] for node in "0123"] == [SILENT, SILENT, SILENT, SERVING]
    ready["3"].proxy_is(SILENT)
    assert [believed(ready)[node] for node in "0123"] == [SERVING] * 4
    assert believed(ready)["gone"] is LOST
