"""One stream of a proxy: which type may be told what, and when. Make before break.

* A cluster is told first, and its endpoints right after it: a new or changed cluster stays cold until they
  come *again*, and the proxy does not ask for them.
* Routes and listeners that use a new cluster wait until the proxy has accepted the cluster and its endpoints.
* Removal goes the other way: listeners, then routes, then, when no call can be under way any more, clusters
  and their endpoints.

No input or output, no clock: see `Conversation.advance`.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from mesh.subscription import Request, Response, Subscription, Sync
from mesh.wire import CLUSTER, ENDPOINT, LISTENER, ROUTE, TYPES, Resource, Snapshot
from services.catalog import SERVICES

LINGER = max(api.timeout for row in SERVICES for api in row.apis)
"""How long a cluster stays after the last route to it went: until no call can be under way any more.

Streams have no such time: one that is still under way then may end, and its caller resumes it elsewhere."""

_NOTHING: Mapping[str, Resource] = {}
_ALL_BY_DEFAULT = frozenset({CLUSTER, LISTENER})


class Conversation:
    """What was said on one stream, and what is to be said next."""

    def __init__(self, linger: timedelta = LINGER) -> None:
        self.subscriptions = {
            kind: Subscription(everything_by_default=kind in _ALL_BY_DEFAULT) for kind in TYPES
        }
        self._linger = linger.total_seconds()
        self._snapshot: Snapshot | None = None
        self._warm: set[str] = set()
        """Endpoints that were accepted on this stream, after their clusters were: those can be used."""
        self._warming: set[str] = set()
        """Endpoints in the response under way, less those of clusters that were sent after it."""
        self._unused_since: float | None = None
        """When listeners and routes came into a state that uses only wanted clusters."""

    def receive(self, kind: str, request: Request) -> None:
        """Take in what the proxy says of one of `TYPES`."""
        subscription = self.subscriptions[kind]
        first = not subscription.asked
        if kind == ENDPOINT:
            self._note_answer(subscription.under_way, request)
        subscription.receive(request)
        if kind == ENDPOINT and first:
            # Whether a cluster of it waits for endpoints is not known after a reconnect; if so, they warm it.
            subscription.owe(request.subscribe)

    def want(self, snapshot: Snapshot | None) -> None:
        """What the proxy shall have from now on. None if nothing is known of it: it keeps what it has."""
        self._snapshot = snapshot

    def advance(self, now: float) -> list[tuple[str, Response]]:
        """Everything that may be said now, with its type, in order.

        `now`: seconds of any clock that does not step back. Call it again after each `receive` and `want`,
        and when `wake_at` comes.
        """
        if self._snapshot is None:
            return []
        self._unused_since = self._still_unused(now)
        return list(self._offers(self._snapshot, now))

    def wake_at(self) -> float | None:
        """When time alone will allow something more; None if it won't."""
        if self._snapshot is None or self._unused_since is None:
            return None
        clusters = self.subscriptions[CLUSTER]
        waiting = clusters.has.keys() - self._snapshot[CLUSTER].keys()
        return self._unused_since + self._linger if waiting and clusters.under_way is None else None

    def sync(self, kind: str) -> Sync:
        """How far the proxy is with a type."""
        wanted = _NOTHING if self._snapshot is None else self._snapshot[kind]
        return self.subscriptions[kind].sync(wanted)

    def is_open(self) -> bool:
        """Whether the proxy has its listeners and their routes, and so takes calls."""
        return self._snapshot is not None and self._is_settled(LISTENER) and self._is_settled(ROUTE)

    def _offers(self, snapshot: Snapshot, now: float) -> Iterator[tuple[str, Response]]:
        if response := self._clusters(snapshot[CLUSTER], now):
            yield CLUSTER, response
        if response := self._endpoints(snapshot[ENDPOINT]):
            yield ENDPOINT, response
        for kind, may_remove in ((LISTENER, True), (ROUTE, self._is_settled(LISTENER))):
            wanted = snapshot[kind]
            response = self.subscriptions[kind].offer(
                wanted,
                may_send=lambda name, wanted=wanted: self._is_usable(wanted[name]),  # type: ignore[misc]
                may_remove=lambda _, may=may_remove: may,  # type: ignore[misc]
            )
            if response:
                yield kind, response

    def _clusters(self, wanted: Mapping[str, Resource], now: float) -> Response | None:
        subscription = self.subscriptions[CLUSTER]
        lingered = self._unused_since is not None and now >= self._unused_since + self._linger
        response = subscription.offer(wanted, may_remove=lambda _: lingered)
        if response is None:
            return None
        sent = {resource.name: resource.endpoints for resource in response.resources if resource.endpoints}
        self.subscriptions[ENDPOINT].owe(sent.values())
        # A changed cluster serves on as it was until the new one is warm; only a new one can't be used.
        fresh = {endpoints for name, endpoints in sent.items() if name not in subscription.has}
        self._warm -= fresh
        self._warming -= fresh
        return response

    def _endpoints(self, wanted: Mapping[str, Resource]) -> Response | None:
        unused = self._is_settled(CLUSTER)
        response = self.subscriptions[ENDPOINT].offer(wanted, may_remove=lambda _: unused)
        if response is not None:
            self._warming = {resource.name for resource in response.resources}
        return response

    def _note_answer(self, answered: Response | None, request: Request) -> None:
        """Endpoints that were sent after their cluster, and accepted, make it usable."""
        if answered is not None and request.nonce == answered.nonce and request.error is None:
            self._warm |= self._warming

    def _is_usable(self, resource: Resource) -> bool:
        """Whether the proxy can use every cluster that a listener or route needs."""
        return all(self._holds(name) for name in resource.needs)

    def _holds(self, cluster: str) -> bool:
        assert self._snapshot is not None
        endpoints = self._snapshot[CLUSTER][cluster].endpoints
        return self.subscriptions[CLUSTER].holds(cluster) and (endpoints is None or endpoints in self._warm)

    def _still_unused(self, now: float) -> float | None:
        if not self.is_open():
            return None
        return now if self._unused_since is None else self._unused_since

    def _is_settled(self, kind: str) -> bool:
        """Whether the proxy has what it should, and nothing else. Of what there is none it need not ask."""
        assert self._snapshot is not None
        sync = self.sync(kind)
        return sync is Sync.SYNCED or (sync is Sync.NOT_SENT and not self._snapshot[kind])
