"""The delta protocol for one type, rule by rule, and then at random against a model of a proxy."""

from collections.abc import Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mesh.subscription import Request, Response, Subscription, Sync
from mesh.wire import Resource


def resources(**versions: str) -> dict[str, Resource]:
    return {name: Resource(name, version, f"{name}@{version}".encode()) for name, version in versions.items()}


def by_name(*names: str, has: Mapping[str, str] | None = None) -> Subscription:
    subscription = Subscription(everything_by_default=False)
    subscription.receive(Request(subscribe=names, has=has or {}))
    return subscription


def wildcard(has: Mapping[str, str] | None = None) -> Subscription:
    subscription = Subscription(everything_by_default=True)
    subscription.receive(Request(has=has or {}))
    return subscription


def sent(response: Response | None) -> tuple[dict[str, str], tuple[str, ...]]:
    assert response is not None
    return {resource.name: resource.version for resource in response.resources}, response.removed


def accept(subscription: Subscription) -> None:
    assert subscription.under_way is not None
    subscription.receive(Request(nonce=subscription.under_way.nonce))


def refuse(subscription: Subscription, reason: str = "no good") -> None:
    assert subscription.under_way is not None
    subscription.receive(Request(nonce=subscription.under_way.nonce, error=reason))


class TestSubscribing:
    def test_nothing_is_sent_to_who_never_asked(self) -> None:
        subscription = Subscription(everything_by_default=True)
        assert subscription.offer(resources(a="1")) is None
        assert subscription.sync(resources(a="1")) is Sync.NOT_SENT

    def test_one_who_names_nothing_first_gets_everything(self) -> None:
        assert sent(wildcard().offer(resources(a="1", b="1"))) == ({"a": "1", "b": "1"}, ())

    def test_of_types_without_wildcard_one_who_names_nothing_gets_nothing(self) -> None:
        assert by_name().offer(resources(a="1")) is None

    def test_a_star_is_the_wildcard_too(self) -> None:
        assert sent(by_name("*").offer(resources(a="1", b="1"))) == ({"a": "1", "b": "1"}, ())

    def test_a_wildcard_over_nothing_is_answered_once_so_that_the_proxy_need_not_wait(self) -> None:
        subscription = wildcard()
        assert sent(subscription.offer({})) == ({}, ())
        accept(subscription)
        assert subscription.offer({}) is None
        assert subscription.sync({}) is Sync.SYNCED

    def test_only_what_was_named_is_sent(self) -> None:
        assert sent(by_name("a").offer(resources(a="1", b="1"))) == ({"a": "1"}, ())

    def test_a_name_that_there_is_not_is_answered_as_removed(self) -> None:
        assert sent(by_name("a", "x").offer(resources(a="1"))) == ({"a": "1"}, ("x",))

    def test_a_name_that_appears_later_is_sent_then(self) -> None:
        subscription = by_name("a")
        subscription.offer({})
        accept(subscription)
        assert sent(subscription.offer(resources(a="1"))) == ({"a": "1"}, ())

    def test_a_name_asked_for_again_is_answered_again(self) -> None:
        subscription = by_name("a")
        subscription.offer(resources(a="1"))
        accept(subscription)
        assert subscription.offer(resources(a="1")) is None
        subscription.receive(Request(subscribe=("a",)))
        assert sent(subscription.offer(resources(a="1"))) == ({"a": "1"}, ())

    def test_what_was_unsubscribed_is_not_sent_any_more(self) -> None:
        subscription = by_name("a", "b")
        subscription.offer(resources(a="1", b="1"))
        accept(subscription)
        subscription.receive(Request(unsubscribe=("a",)))
        assert sent(subscription.offer(resources(a="2", b="2"))) == ({"b": "2"}, ())

    def test_a_name_given_up_under_the_wildcard_is_sent_because_it_is_still_had(self) -> None:
        subscription = wildcard()
        subscription.receive(Request(subscribe=("a",)))
        subscription.offer(resources(a="1"))
        accept(subscription)
        subscription.receive(Request(unsubscribe=("a",)))
        assert sent(subscription.offer(resources(a="1"))) == ({"a": "1"}, ())

    def test_giving_up_the_wildcard_keeps_the_names(self) -> None:
        subscription = by_name("*", "a")
        subscription.receive(Request(unsubscribe=("*",)))
        assert sent(subscription.offer(resources(a="1", b="1"))) == ({"a": "1"}, ())


class TestReconnecting:
    def test_what_it_has_already_is_not_sent(self) -> None:
        subscription = wildcard(has={"a": "1", "b": "1"})
        assert sent(subscription.offer(resources(a="1", b="2"))) == ({"b": "2"}, ())

    def test_when_it_has_everything_it_is_in_sync_without_a_word(self) -> None:
        subscription = wildcard(has={"a": "1"})
        assert subscription.offer(resources(a="1")) is None
        assert subscription.sync(resources(a="1")) is Sync.SYNCED

    def test_what_has_gone_meanwhile_is_removed(self) -> None:
        subscription = wildcard(has={"a": "1", "old": "1"})
        assert sent(subscription.offer(resources(a="1"))) == ({}, ("old",))

    def test_names_with_the_version_it_has_are_not_sent(self) -> None:
        subscription = by_name("a", "b", has={"a": "1", "b": "1"})
        assert sent(subscription.offer(resources(a="1", b="2"))) == ({"b": "2"}, ())

    def test_a_list_of_what_it_has_counts_only_in_the_first_request(self) -> None:
        subscription = by_name("a")
        subscription.receive(Request(subscribe=("a",), has={"a": "1"}))
        assert sent(subscription.offer(resources(a="1"))) == ({"a": "1"}, ())


class TestAnswers:
    def test_while_a_response_is_under_way_changes_are_folded_into_the_next(self) -> None:
        subscription = wildcard()
        subscription.offer(resources(a="1"))
        assert subscription.offer(resources(a="2")) is None
        assert subscription.offer(resources(a="3", b="1")) is None
        accept(subscription)
        assert sent(subscription.offer(resources(a="3", b="1"))) == ({"a": "3", "b": "1"}, ())

    def test_an_answer_to_another_response_changes_nothing(self) -> None:
        subscription = wildcard()
        response = subscription.offer(resources(a="1"))
        subscription.receive(Request(nonce="stale"))
        subscription.receive(Request(nonce="stale", error="no"))
        assert subscription.under_way is response
        assert subscription.sync(resources(a="1")) is Sync.PENDING

    def test_removed_resources_are_forgotten_when_that_is_acknowledged(self) -> None:
        subscription = wildcard()
        subscription.offer(resources(a="1", b="1"))
        accept(subscription)
        assert sent(subscription.offer(resources(a="1"))) == ({}, ("b",))
        assert subscription.sync(resources(a="1")) is Sync.PENDING
        accept(subscription)
        assert subscription.sync(resources(a="1")) is Sync.SYNCED
        assert sent(subscription.offer(resources(a="1", b="1"))) == ({"b": "1"}, ())

    def test_what_may_not_be_sent_or_removed_yet_waits(self) -> None:
        subscription = wildcard(has={"old": "1"})
        closed = subscription.offer(resources(a="1"), lambda _: False, lambda _: False)
        assert closed is None
        assert sent(subscription.offer(resources(a="1"), lambda _: True, lambda _: False)) == ({"a": "1"}, ())

    def test_owing_sends_again_what_is_wanted_and_nothing_else(self) -> None:
        subscription = by_name("a")
        subscription.offer(resources(a="1"))
        accept(subscription)
        subscription.owe(["a", "b"])
        assert subscription.sync(resources(a="1")) is Sync.PENDING
        assert sent(subscription.offer(resources(a="1", b="1"))) == ({"a": "1"}, ())


class TestRefusing:
    def test_a_refused_version_is_shown_and_not_sent_again(self) -> None:
        subscription = wildcard(has={"a": "1"})
        subscription.offer(resources(a="2"))
        refuse(subscription, "unknown field")
        assert subscription.offer(resources(a="2")) is None
        assert subscription.sync(resources(a="2")) is Sync.REJECTED
        assert subscription.refused["a"].reason == "unknown field"

    def test_the_next_version_is_sent_and_heals(self) -> None:
        subscription = wildcard(has={"a": "1"})
        subscription.offer(resources(a="2"))
        refuse(subscription)
        assert sent(subscription.offer(resources(a="3"))) == ({"a": "3"}, ())
        accept(subscription)
        assert subscription.sync(resources(a="3")) is Sync.SYNCED
        assert subscription.refused == {}

    def test_going_back_to_the_version_before_is_in_sync_at_once(self) -> None:
        subscription = wildcard(has={"a": "1"})
        subscription.offer(resources(a="2"))
        refuse(subscription)
        assert subscription.offer(resources(a="1")) is None
        assert subscription.sync(resources(a="1")) is Sync.SYNCED

    def test_of_several_that_are_refused_together_only_the_guilty_one_stays_refused(self) -> None:
        subscription, wanted = wildcard(), resources(a="1", bad="1", c="1")
        subscription.offer(wanted)
        refuse(subscription)
        seen = []
        while (response := subscription.offer(wanted)) is not None:
            (name,) = sent(response)[0]
            seen.append(name)
            if name == "bad":
                refuse(subscription)
            else:
                accept(subscription)
        assert sorted(seen) == ["a", "bad", "c"]
        assert set(subscription.refused) == {"bad"}
        assert subscription.has == {"a": "1", "c": "1"}

    def test_after_a_refusal_together_the_version_before_is_sent_too_for_it_may_have_been_replaced(
        self,
    ) -> None:
        subscription = wildcard(has={"a": "1", "b": "1"})
        subscription.offer(resources(a="2", b="2"))
        refuse(subscription)
        assert subscription.sync(resources(a="1", b="1")) is Sync.PENDING
        assert sent(subscription.offer(resources(a="1", b="1"))) == ({"a": "1"}, ())

    def test_a_removal_that_was_refused_with_something_else_is_repeated(self) -> None:
        subscription, wanted = wildcard(has={"old": "1"}), resources(bad="1")
        assert sent(subscription.offer(wanted)) == ({"bad": "1"}, ("old",))
        refuse(subscription)
        assert sent(subscription.offer(wanted)) == ({}, ("old",))
        refuse(subscription)
        assert subscription.offer(wanted) is None

    def test_what_is_back_before_its_removal_was_refused_with_others_is_sent_again(self) -> None:
        subscription = wildcard(has={"back": "1"})
        assert sent(subscription.offer(resources(bad="1"))) == ({"bad": "1"}, ("back",))
        refuse(subscription)
        wanted = resources(bad="1", back="1")
        assert sent(subscription.offer(wanted)) == ({"back": "1"}, ())

    def test_what_may_have_been_taken_of_a_refused_response_is_removed_when_it_is_gone(self) -> None:
        subscription = wildcard()
        subscription.offer(resources(a="1", bad="1"))
        refuse(subscription)
        subscription.offer(resources(a="2", bad="1"))
        refuse(subscription)
        subscription.offer(resources(a="2", bad="1"))
        refuse(subscription)
        assert sent(subscription.offer(resources(bad="1"))) == ({}, ("a",))

    def test_a_resource_that_was_refused_and_is_gone_is_not_missed(self) -> None:
        subscription = wildcard()
        subscription.offer(resources(a="1"))
        refuse(subscription)
        assert subscription.sync({}) is Sync.SYNCED


NAMES = st.sampled_from("abcd")
VERSIONS = st.integers(0, 3).map(str)
BAD = "3"
"""A version that the model refuses."""


class Proxy(RuleBasedStateMachine):
    """A proxy that keeps to the protocol, with a stream that breaks; at rest it has what it should."""

    @initialize(everything=st.booleans())
    def begin(self, everything: bool) -> None:
        self.everything_by_default = everything
        self.wanted: dict[str, Resource] = {}
        self.names: set[str] = set()
        self.everything = everything
        self.has: dict[str, str] = {}
        self.applied: dict[str, str] = {}
        """What it really runs with, which after a refusal it does not tell."""
        self.connect()

    def connect(self) -> None:
        self.server = Subscription(everything_by_default=self.everything_by_default)
        names = (*sorted(self.names), *(("*",) if self.everything and self.names else ()))
        self.server.receive(Request(subscribe=names, has=dict(self.has)))

    def speak(self) -> Response | None:
        response = self.server.offer(self.wanted)
        if response is not None:
            self.take(response)
        return response

    def take(self, response: Response) -> None:
        bad = any(resource.version == BAD for resource in response.resources)
        for resource in response.resources:
            if resource.version != BAD and self.is_wanted(resource.name):
                self.applied[resource.name] = resource.version
                if not bad:
                    self.has[resource.name] = resource.version
        for name in response.removed:
            self.applied.pop(name, None)
            self.has.pop(name, None)
        self.answer = Request(nonce=response.nonce, error="bad" if bad else None)

    def is_wanted(self, name: str) -> bool:
        return self.everything or name in self.names

    @rule(name=NAMES, version=VERSIONS)
    def change(self, name: str, version: str) -> None:
        self.wanted = {**self.wanted, **resources(**{name: version})}

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.wanted = {kept: resource for kept, resource in self.wanted.items() if kept != name}

    @rule(name=NAMES)
    def subscribe(self, name: str) -> None:
        self.names.add(name)
        self.server.receive(Request(subscribe=(name,)))

    @rule(name=NAMES)
    def unsubscribe(self, name: str) -> None:
        self.names.discard(name)
        if not self.everything:
            self.has.pop(name, None)
            self.applied.pop(name, None)
        self.server.receive(Request(unsubscribe=(name,)))

    @precondition(lambda self: self.server.under_way is None)
    @rule()
    def talk(self) -> None:
        self.speak()

    @precondition(lambda self: self.server.under_way is not None)
    @rule()
    def reply(self) -> None:
        self.server.receive(self.answer)

    @rule(nonce=st.sampled_from(["", "0", "99999"]), error=st.sampled_from([None, "stale"]))
    def say_something_stale(self, nonce: str, error: str | None) -> None:
        self.server.receive(Request(nonce=nonce, error=error))

    # What was taken of a refused response is not told after a reconnect: nobody can know it then.
    @precondition(lambda self: self.applied == self.has)
    @rule()
    def break_and_reconnect(self) -> None:
        self.connect()

    @rule()
    def come_to_rest(self) -> None:
        for _ in range(50):
            if self.server.under_way is not None:
                self.server.receive(self.answer)
            if self.speak() is None:
                break
        else:
            pytest.fail("it never comes to rest")
        should = {name: it.version for name, it in self.wanted.items() if self.is_wanted(name)}
        for name, version in should.items():
            assert version in {BAD, self.applied.get(name)}
        assert not self.applied.keys() - self.wanted.keys()
        if len(should) == len(self.wanted):
            expected = Sync.REJECTED if BAD in should.values() else Sync.SYNCED
            assert self.server.sync(self.wanted) is expected

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.come_to_rest()


TestAtRandom = Proxy.TestCase
TestAtRandom.settings = settings(max_examples=150, stateful_step_count=30)
