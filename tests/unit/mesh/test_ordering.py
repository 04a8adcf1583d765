"""Make before break: rule by rule, and at random against a model of a proxy whose clusters must warm up."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mesh.ordering import LINGER as LONGEST
from mesh.ordering import Conversation
from mesh.subscription import Request, Response, Sync
from mesh.wire import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource, Snapshot
from services.catalog import SERVICES

LINGER = 60.0
ENDPOINTS = {"x": "x", "x-affine": "x", "y": "y"}
"""Clusters, and under which name their endpoints come."""
BAD = 9
"""A version of a cluster that the model refuses."""


def snapshot(clusters: Mapping[str, int], routes: Iterable[str] = (), endpoints: int = 1) -> Snapshot:
    """Clusters with their versions, one listener with one route configuration to some of them."""
    needs = frozenset(routes)
    route = Resource("out", "+".join(sorted(needs)), b"", needs=needs)
    names = {ENDPOINTS[cluster] for cluster in clusters}
    return {
        CLUSTER: {
            name: Resource(name, str(version), b"", endpoints=ENDPOINTS[name])
            for name, version in clusters.items()
        },
        ENDPOINT: {name: Resource(name, str(endpoints), b"") for name in names},
        LISTENER: {"out": Resource("out", "1", b"", needs=needs)},
        ROUTE: {"out": route},
    }


class Envoy:
    """A proxy as far as order matters. It says at once when it was told something in the wrong one."""

    def __init__(self) -> None:
        self.inbox: deque[tuple[str, Response]] = deque()
        self.outbox: deque[tuple[str, Request]] = deque()
        self.clusters: dict[str, str] = {}
        """In use, with the version."""
        self.warming: dict[str, str] = {}
        self.endpoints: dict[str, str] = {}
        self.listeners: dict[str, str] = {}
        self.routes: dict[str, Resource] = {}
        self.used: dict[str, float] = {}
        """When a route to a cluster was last replaced."""
        self.now = 0.0

    def connect(self) -> None:
        self.inbox.clear()
        self.outbox.clear()
        if names := self._endpoint_names():
            self._say(ENDPOINT, Request(subscribe=tuple(sorted(names)), has=dict(self.endpoints)))
        self._say(LISTENER, Request(has=dict(self.listeners)))
        if self.listeners:
            has = {name: route.version for name, route in self.routes.items()}
            self._say(ROUTE, Request(subscribe=tuple(self.listeners), has=has))
        self._say(CLUSTER, Request(has={**self.clusters, **self.warming}))

    def process(self) -> None:
        """Take the next response in, and answer it."""
        kind, response = self.inbox.popleft()
        if any(resource.version == str(BAD) for resource in response.resources):
            self._say(kind, Request(nonce=response.nonce, error="bad"))
            return
        take = {
            CLUSTER: self._take_clusters,
            ENDPOINT: self._take_endpoints,
            LISTENER: self._take_listeners,
            ROUTE: self._take_routes,
        }
        take[kind](response)
        self._say(kind, Request(nonce=response.nonce))

    def _take_clusters(self, response: Response) -> None:
        for resource in response.resources:
            known = self._endpoint_names()
            self.warming[resource.name] = resource.version
            if fresh := self._endpoint_names() - known:
                self._say(ENDPOINT, Request(subscribe=tuple(fresh)))
        for name in response.removed:
            in_use = [route.name for route in self.routes.values() if name in route.needs]
            assert not in_use, f"{name} is removed although {in_use} use it"
            assert self.now - self.used.get(name, -LINGER) >= LINGER, f"{name} is removed under calls"
            known = self._endpoint_names()
            self.clusters.pop(name, None)
            self.warming.pop(name, None)
            for unused in known - self._endpoint_names():
                self.endpoints.pop(unused, None)
                self._say(ENDPOINT, Request(unsubscribe=(unused,)))

    def _take_endpoints(self, response: Response) -> None:
        for resource in response.resources:
            self.endpoints[resource.name] = resource.version
            for name in [name for name in self.warming if ENDPOINTS[name] == resource.name]:
                self.clusters[name] = self.warming.pop(name)

    def _take_listeners(self, response: Response) -> None:
        for resource in response.resources:
            if resource.name not in self.listeners:
                self._say(ROUTE, Request(subscribe=(resource.name,)))
            self.listeners[resource.name] = resource.version

    def _take_routes(self, response: Response) -> None:
        for resource in response.resources:
            missing = resource.needs - self.clusters.keys()
            assert not missing, f"calls are lost: no usable {missing}"
            before = self.routes.get(resource.name)
            for name in before.needs if before else ():
                self.used[name] = self.now
            self.routes[resource.name] = resource

    def _endpoint_names(self) -> set[str]:
        return {ENDPOINTS[name] for name in (*self.clusters, *self.warming)}

    def _say(self, kind: str, request: Request) -> None:
        self.outbox.append((kind, request))


class Stream:
    """A proxy and a control plane that talk."""

    def __init__(self, envoy: Envoy | None = None) -> None:
        self.envoy = envoy or Envoy()
        self.reconnect()

    def reconnect(self) -> None:
        self.conversation = Conversation(timedelta(seconds=LINGER))
        self.envoy.connect()

    def listen(self) -> None:
        """Let the control plane take in one thing that the proxy said."""
        if self.envoy.outbox:
            self.conversation.receive(*self.envoy.outbox.popleft())

    def speak(self) -> list[str]:
        """Let the control plane say what it may; the types of it."""
        said = self.conversation.advance(self.envoy.now)
        for route in (it for kind, response in said if kind == ROUTE for it in response.resources):
            missing = route.needs - self.envoy.clusters.keys()
            assert not missing, f"routes are on their way, and {missing} may be warm later than they arrive"
        self.envoy.inbox.extend(said)
        return [kind for kind, _ in said]

    def settle(self) -> list[str]:
        """Until nobody has anything to say; the types that were sent, in order."""
        said: list[str] = []
        for _ in range(200):
            while self.envoy.outbox:
                self.listen()
            spoken = self.speak()
            said += spoken
            if self.envoy.inbox:
                self.envoy.process()
            elif not spoken and not self.envoy.outbox:
                return said
        pytest.fail("they never come to rest")

    def settled(self, wanted: Snapshot) -> list[str]:
        self.conversation.want(wanted)
        return self.settle()


def test_a_new_proxy_is_told_clusters_endpoints_listeners_routes() -> None:
    stream = Stream()
    assert stream.settled(snapshot({"x": 1}, ["x"])) == [CLUSTER, ENDPOINT, LISTENER, ROUTE]
    assert stream.conversation.is_open()


def test_a_route_to_a_new_cluster_waits_until_its_endpoints_are_accepted() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}, ["x"]))
    stream.conversation.want(snapshot({"x": 1, "y": 1}, ["x", "y"]))
    assert stream.speak() == [CLUSTER]
    stream.envoy.process()
    subscribe, acknowledge = stream.envoy.outbox
    stream.conversation.receive(*acknowledge)
    assert stream.speak() == [], "the proxy has accepted the cluster, but can't use it"
    stream.conversation.receive(*subscribe)
    assert stream.speak() == [ENDPOINT]
    stream.envoy.outbox.clear()
    stream.envoy.process()
    assert stream.speak() == []
    stream.listen()
    assert stream.speak() == [ROUTE]


def test_endpoints_are_sent_again_after_each_change_of_their_cluster() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}, ["x"]))
    assert stream.settled(snapshot({"x": 2}, ["x"])) == [CLUSTER, ENDPOINT]
    assert stream.envoy.clusters == {"x": "2"}


def test_a_second_cluster_over_known_endpoints_gets_them_again() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}, ["x"]))
    assert stream.settled(snapshot({"x": 1, "x-affine": 1}, ["x", "x-affine"])) == [CLUSTER, ENDPOINT, ROUTE]


def test_an_endpoint_change_alone_sends_endpoints_alone() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}, ["x"]))
    assert stream.settled(snapshot({"x": 1}, ["x"], endpoints=2)) == [ENDPOINT]


def test_a_cluster_is_removed_only_when_no_call_can_be_under_way() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1, "y": 1}, ["x", "y"]))
    stream.envoy.now = 100.0
    assert stream.settled(snapshot({"x": 1}, ["x"])) == [ROUTE]
    assert stream.conversation.sync(CLUSTER) is Sync.PENDING
    assert stream.conversation.wake_at() == 100.0 + LINGER
    stream.envoy.now = 100.0 + LINGER - 1
    assert stream.settle() == []
    stream.envoy.now = 100.0 + LINGER
    assert stream.settle() == [CLUSTER]
    assert stream.envoy.clusters == {"x": "1"}
    assert stream.conversation.wake_at() is None


def test_clusters_stay_for_as_long_as_any_call_may_take() -> None:
    assert max(api.timeout for row in SERVICES for api in row.apis) == LONGEST


def test_a_refused_cluster_holds_back_the_routes_to_it_and_nothing_else() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}, ["x"]))
    stream.settled(snapshot({"x": 1, "y": BAD}, ["x", "y"], endpoints=2))
    assert stream.conversation.sync(CLUSTER) is Sync.REJECTED
    assert stream.envoy.routes["out"].needs == {"x"}
    assert stream.envoy.endpoints["x"] == "2"
    stream.settled(snapshot({"x": 1, "y": 2}, ["x", "y"], endpoints=2))
    assert stream.envoy.routes["out"].needs == {"x", "y"}


def test_a_refused_change_of_a_cluster_leaves_the_routes_to_it_alone() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1, "y": 1}, ["x"]))
    stream.settled(snapshot({"x": BAD, "y": 1}, ["x", "y"]))
    assert stream.envoy.clusters == {"x": "1", "y": "1"}
    assert stream.envoy.routes["out"].needs == {"x", "y"}


def test_after_a_reconnect_only_endpoints_and_what_changed_are_sent() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1, "y": 1}, ["x"]))
    stream.reconnect()
    assert stream.settled(snapshot({"x": 1, "y": 1}, ["x", "y"])) == [ENDPOINT, ROUTE]


def test_a_cluster_that_was_warming_when_the_stream_broke_gets_its_endpoints() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}, ["x"]))
    stream.conversation.want(snapshot({"x": 2}, ["x"]))
    assert stream.speak() == [CLUSTER, ENDPOINT]
    stream.envoy.process()
    stream.reconnect()
    stream.settled(snapshot({"x": 2}, ["x"]))
    assert stream.envoy.clusters == {"x": "2"}
    assert stream.envoy.warming == {}


def test_a_cluster_that_is_being_removed_can_not_be_used_although_it_is_wanted_again() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}))
    stream.envoy.now = LINGER
    stream.conversation.want(snapshot({}))
    assert stream.speak() == [CLUSTER]
    stream.conversation.want(snapshot({"x": 1}, ["x"]))
    assert stream.speak() == []
    assert stream.settle() == [CLUSTER, ENDPOINT, ROUTE]
    assert stream.envoy.routes["out"].needs == {"x"}


def test_an_unknown_proxy_is_told_nothing_and_keeps_what_it_has() -> None:
    stream = Stream()
    stream.settled(snapshot({"x": 1}, ["x"]))
    stream.reconnect()
    assert stream.settle() == []
    assert not stream.conversation.is_open()
    assert stream.envoy.clusters == {"x": "1"}
    assert stream.settled(snapshot({"x": 1}, ["x"])) == [ENDPOINT]


CLUSTERS = st.dictionaries(st.sampled_from(sorted(ENDPOINTS)), st.sampled_from([1, 2, 3, BAD]), max_size=3)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    clusters = draw(CLUSTERS)
    routes = draw(st.sets(st.sampled_from(sorted(clusters)))) if clusters else ()
    return snapshot(clusters, routes, draw(st.integers(1, 3)))


class Talk(RuleBasedStateMachine):
    """Changes come at any moment; the model of the proxy asserts that no call is lost."""

    @initialize(first=snapshots())
    def begin(self, first: Snapshot) -> None:
        self.stream = Stream()
        self.wanted = first
        self.stream.conversation.want(first)

    @rule(wanted=snapshots())
    def change(self, wanted: Snapshot) -> None:
        self.wanted = wanted
        self.stream.conversation.want(wanted)

    @rule()
    def speak(self) -> None:
        self.stream.speak()

    @rule()
    def listen(self) -> None:
        self.stream.listen()

    @precondition(lambda self: self.stream.envoy.inbox)
    @rule()
    def process(self) -> None:
        self.stream.envoy.process()

    @rule(seconds=st.sampled_from([1, 20, 60]))
    def wait(self, seconds: int) -> None:
        self.stream.envoy.now += seconds

    @rule()
    def break_and_reconnect(self) -> None:
        self.stream.reconnect()
        self.stream.conversation.want(self.wanted)

    @rule()
    def come_to_rest(self) -> None:
        envoy = self.stream.envoy
        self.stream.settle()
        envoy.now += LINGER
        self.stream.settle()
        good = {name: it.version for name, it in self.wanted[CLUSTER].items() if it.version != str(BAD)}
        assert good.items() <= envoy.clusters.items()
        needs = self.wanted[ROUTE]["out"].needs
        if needs <= envoy.clusters.keys():
            assert envoy.routes["out"].needs == needs
            assert envoy.clusters.keys() <= self.wanted[CLUSTER].keys()
            assert self.stream.conversation.is_open()

    def teardown(self) -> None:
        if hasattr(self, "stream"):
            self.come_to_rest()


TestAtRandom = Talk.TestCase
TestAtRandom.settings = settings(max_examples=150, stateful_step_count=40)
