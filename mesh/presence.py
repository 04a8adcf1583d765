"""Whether an instance takes calls: its service must want them, and its proxy must be there to pass them on.

`Presence` is told what happened, and says what follows for balancing.
"""

from enum import Enum

from mesh.resources.endpoint import Condition


class Proxy(Enum):
    """How the proxy of an instance is."""

    ASSUMED = "assumed"
    """It was there before this control plane was, and has not been heard of yet: it may well be at work."""
    EXPECTED = "expected"
    """It is new and has not opened its port yet."""
    READY = "ready"
    """It has accepted its listeners."""
    GONE = "gone"
    """It was ready, and its stream has ended."""


class Presence:
    """What is known of one instance."""

    def __init__(self, proxy: Proxy) -> None:
        self.app: Condition | None = None
        """None: it was not asked yet."""
        self.proxy = proxy

    @property
    def condition(self) -> Condition:
        """What callers' proxies are told."""
        if self.app is Condition.LEAVING or self.proxy is Proxy.EXPECTED:
            return Condition.LEAVING
        if self.app is Condition.LOST or self.proxy is Proxy.GONE:
            return Condition.LOST
        return Condition.SERVING

    def app_is(self, condition: Condition) -> None:
        """What the service answered to its health check, or that it can't be reached.

        One that said that it takes no calls, and then can't be reached, has gone as announced, not lost.
        """
        if condition is not Condition.LOST or self.app is not Condition.LEAVING:
            self.app = condition

    def proxy_is(self, *, ready: bool) -> None:
        """The proxy has accepted its listeners, or its stream has ended."""
        if ready:
            self.proxy = Proxy.READY
        elif self.proxy is not Proxy.EXPECTED:
            self.proxy = Proxy.GONE
