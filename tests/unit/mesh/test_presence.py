"""When an instance is balanced over."""

import pytest

from mesh.presence import Presence, Proxy
from mesh.resources.endpoint import Condition


def presence(proxy: Proxy, *said: Condition) -> Presence:
    made = Presence(proxy)
    for condition in said:
        made.app_is(condition)
    return made


SERVING, LEAVING, LOST = Condition.SERVING, Condition.LEAVING, Condition.LOST


@pytest.mark.parametrize(
    ("proxy", "said", "told"),
    [
        (Proxy.READY, [SERVING], SERVING),
        (Proxy.READY, [SERVING, LEAVING], LEAVING),
        (Proxy.READY, [SERVING, LOST], LOST),
        (Proxy.READY, [SERVING, LOST, SERVING], SERVING),
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
    new.proxy_is(ready=False)
    assert new.condition is LEAVING
    new.proxy_is(ready=True)
    assert new.condition is SERVING
    new.proxy_is(ready=False)
    assert new.condition is LOST
    new.proxy_is(ready=True)
    assert new.condition is SERVING
