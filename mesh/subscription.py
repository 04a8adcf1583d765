"""One resource type on one stream: what the proxy wants, what it has, what it was sent and refused.

The incremental protocol of https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol as a state
machine without input or output. At most one response is under way at a time: what changes meanwhile is folded
into the next one, so a slow proxy gets fewer and larger responses, never a queue.

A refused response (NACK) does not say which of its resources was to blame, nor which were taken. So its
resources are sent again one by one; those that are refused alone are not sent again in that version.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from mesh.wire import Resource

WILDCARD = "*"


class Sync(Enum):
    """How far a proxy is with a type."""

    NOT_SENT = "not sent"
    """It never asked."""
    PENDING = "pending"
    """It was not sent everything yet, or has not answered."""
    REJECTED = "rejected"
    """It refused the newest version of something."""
    SYNCED = "synced"
    """It has the newest version of everything."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a proxy says about one type."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    has: Mapping[str, str] = field(default_factory=dict)
    """On a stream's first request: names and versions that it still has from an earlier stream."""
    nonce: str = ""
    """The response that it answers; empty if it does not answer one."""
    error: str | None = None
    """Why it refused that response; None if it accepted."""


@dataclass(frozen=True, slots=True)
class Response:
    """What it is to be sent."""

    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that it refused, and why."""

    version: str
    reason: str


Gate = Callable[[str], bool]
"""Says whether the resource of that name may be sent, or removed, now."""


def always(_name: str) -> bool:
    """A gate that is open."""
    return True


class Subscription:
    """The state of one type on one stream."""

    def __init__(self, *, everything_by_default: bool) -> None:
        self.asked = False
        self.has: dict[str, str] = {}
        """Name and version of what the proxy accepted."""
        self.refused: dict[str, Refusal] = {}
        self.under_way: Response | None = None
        self._everything_by_default = everything_by_default
        self._everything = False
        self._names: set[str] = set()
        self._owed: set[str] = set()
        """To be sent even if nothing changed."""
        self._suspects: set[str] = set()
        """Refused together with others: to be sent alone. Each is among those in `_unsure`."""
        self._unsure: set[str] = set()
        """It may run with a version out of a refused response: to be removed when it is gone."""
        self._owes_answer = False
        self._count = 0

    def receive(self, request: Request) -> None:
        """Take in what the proxy says."""
        if self.under_way is not None and request.nonce == self.under_way.nonce:
            self._settle(self.under_way, request.error)
        self._unsubscribe(request.unsubscribe)
        self._subscribe(request.subscribe)
        if not self.asked:
            self._open(request)

    def owe(self, names: Iterable[str]) -> None:
        """Send these again although nothing changed, if the proxy wants them."""
        self._owed.update(name for name in names if self.is_wanted(name))

    def is_wanted(self, name: str) -> bool:
        """Whether the proxy subscribes to a name."""
        return self._everything or name in self._names

    def holds(self, name: str) -> bool:
        """Whether the proxy accepted a resource and was not told since to remove it."""
        leaving = self.under_way.removed if self.under_way is not None else ()
        return name in self.has and name not in leaving

    def offer(
        self, wanted: Mapping[str, Resource], may_send: Gate = always, may_remove: Gate = always
    ) -> Response | None:
        """The next response; None while one is under way or when there is nothing to say.

        `wanted`: everything that there is of this type for the proxy.
        """
        if self.under_way is not None or not self.asked:
            return None
        due = tuple(
            resource for resource in wanted.values() if self._is_due(resource) and may_send(resource.name)
        )
        alone = next((resource for resource in due if resource.name in self._suspects), None)
        if alone is not None:
            return self._send((alone,), ())
        removed = tuple(name for name in self._gone(wanted) if name not in self.has or may_remove(name))
        if due or removed or (self._owes_answer and not wanted):
            return self._send(due, removed)
        return None

    def sync(self, wanted: Mapping[str, Resource]) -> Sync:
        """How far the proxy is."""
        if not self.asked:
            return Sync.NOT_SENT
        if any(self._is_refused(resource) for resource in wanted.values()):
            return Sync.REJECTED
        complete = all(self.has.get(name) == resource.version for name, resource in wanted.items())
        undecided = self.under_way or self._owed or self._suspects or self._gone(wanted)
        return Sync.SYNCED if complete and not undecided else Sync.PENDING

    def _open(self, request: Request) -> None:
        self.asked = True
        # Of clusters and listeners, one who names none at first means all of them.
        self._everything |= self._everything_by_default and not request.subscribe
        self._owes_answer = self._everything
        self.has = {name: version for name, version in request.has.items() if self.is_wanted(name)}
        self._owed -= set(self.has)

    def _subscribe(self, names: Iterable[str]) -> None:
        for name in names:
            if name == WILDCARD:
                self._everything = True
            else:
                self._names.add(name)
                # Also when it has it: it may have lost it since.
                self._owed.add(name)

    def _unsubscribe(self, names: Iterable[str]) -> None:
        for name in names:
            if name == WILDCARD:
                self._everything = False
            self._names.discard(name)
            if self._everything:
                # It still gets it by the wildcard, and must be told so.
                self._owed.add(name)
        self._forget(name for name in self._known() if not self.is_wanted(name))

    def _known(self) -> set[str]:
        return {*self.has, *self.refused, *self._owed, *self._unsure}

    def _forget(self, names: Iterable[str]) -> None:
        for name in tuple(names):
            self.has.pop(name, None)
            self.refused.pop(name, None)
            self._owed.discard(name)
            self._suspects.discard(name)
            self._unsure.discard(name)

    def _is_due(self, resource: Resource) -> bool:
        name = resource.name
        if not self.is_wanted(name) or self._is_refused(resource):
            return False
        return name in self._owed or name in self._suspects or self.has.get(name) != resource.version

    def _is_refused(self, resource: Resource) -> bool:
        refusal = self.refused.get(resource.name)
        return refusal is not None and refusal.version == resource.version

    def _gone(self, wanted: Mapping[str, Resource]) -> list[str]:
        """What the proxy has or asked for, and there is not."""
        return sorted({*self.has, *self._owed, *self._unsure} - wanted.keys())

    def _send(self, resources: tuple[Resource, ...], removed: tuple[str, ...]) -> Response:
        self._count += 1
        self._owes_answer = False
        self._owed.difference_update(removed, (resource.name for resource in resources))
        self._suspects.difference_update(removed)
        self.under_way = Response(str(self._count), resources, removed)
        return self.under_way

    def _settle(self, answered: Response, error: str | None) -> None:
        self.under_way = None
        # A refusal is never about a removal, but leaves open whether that was done: if not alone, repeat it,
        # or send again what is back since.
        if error is None or not answered.resources:
            for name in answered.removed:
                self.has.pop(name, None)
                self._unsure.discard(name)
        else:
            self.owe(answered.removed)
        for resource in answered.resources:
            if self.is_wanted(resource.name):
                self._judge(resource, error, alone=len(answered.resources) == 1)

    def _judge(self, resource: Resource, error: str | None, *, alone: bool) -> None:
        name = resource.name
        if error is not None and not alone:
            self._suspects.add(name)
            self._unsure.add(name)
            return
        self._suspects.discard(name)
        if error is None:
            self.has[name] = resource.version
            self.refused.pop(name, None)
            self._unsure.discard(name)
        else:
            self.refused[name] = Refusal(resource.version, error)
