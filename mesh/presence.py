"""Whether an instance takes calls: its service must want them, and its proxy must be there to pass them on.

`Presence` is told what happened, and says what follows for balancing.
"""

from collections.abc import Mapping
from enum import Enum

from mesh.resources.endpoint import Condition

_SAID = frozenset({Condition.SERVING, Condition.LEAVING})
"""What an instance says of itself."""


class Proxy(Enum):
    """How the proxy of an instance is."""

    ASSUMED = "assumed"
    """It was there before this control plane was, and was not asked yet: it may well be at work."""
    EXPECTED = "expected"
    """It is new and has not opened its port yet."""
    READY = "ready"
    """It takes calls."""
    SILENT = "silent"
    """It was ready, and does not answer any more."""
    GONE = "gone"
    """It was ready, and can't be reached any more."""


class Presence:
    """What is known of one instance."""

    def __init__(self, proxy: Proxy) -> None:
        self.app: Condition | None = None
        """None: it was not asked yet."""
        self.proxy = proxy

    @property
    def is_heard_of(self) -> bool:
        """Whether something is known of both service and proxy."""
        return self.app is not None and self.proxy is not Proxy.ASSUMED

    @property
    def condition(self) -> Condition:
        """What callers' proxies are told."""
        if self.app is Condition.LEAVING or self.proxy is Proxy.EXPECTED:
            return Condition.LEAVING
        if self.app is Condition.LOST or self.proxy is Proxy.GONE:
            return Condition.LOST
        if self.app is Condition.SILENT or self.proxy is Proxy.SILENT:
            return Condition.SILENT
        return Condition.SERVING

    def app_is(self, condition: Condition) -> None:
        """What the service answered to its health check, or that it can't be reached.

        One that said that it takes no calls, and then can't be reached, has gone as announced, not lost.
        """
        if condition in _SAID or self.app is not Condition.LEAVING:
            self.app = condition

    def proxy_is(self, condition: Condition) -> None:
        """SERVING: the proxy takes calls. Else it can't be reached or does not answer."""
        if condition is Condition.SERVING:
            self.proxy = Proxy.READY
        elif self.proxy is not Proxy.EXPECTED:
            self.proxy = Proxy.SILENT if condition is Condition.SILENT else Proxy.GONE


def believed(presences: Mapping[str, Presence]) -> dict[str, Condition]:
    """The condition of each instance. When most are silent, it is the one who asks that does not hear."""
    found = {node: presence.condition for node, presence in presences.items()}
    silent = sum(condition is Condition.SILENT for condition in found.values())
    if 2 * silent <= len(found):
        return found
    return {
        node: Condition.SERVING if condition is Condition.SILENT else condition
        for node, condition in found.items()
    }
