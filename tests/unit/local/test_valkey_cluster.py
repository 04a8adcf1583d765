"""The steps of Valkey's nodes, by a model of the cluster in which every node sees all at once."""

from dataclasses import replace

import pytest

from ops.local.valkey_cluster import SLOTS, Command, Peer, Place, next_step, parse, share

FORM = tuple(
    Place(f"valkey-{zone}-{ordinal}", zone, 7000 + 10 * ordinal + at, 8000, starts_as_primary=ordinal == 0)
    for ordinal in (0, 1)
    for at, zone in enumerate("abc")
)
A0, B0, C0, A1, B1, C1 = FORM


class Cluster:
    """Nodes that do what they are told."""

    def __init__(self, form: tuple[Place, ...] = FORM) -> None:
        self.form = form
        self.met: set[tuple[int, int]] = set()
        self.peers = {p: Peer(p.name, p.port, frozenset(), "", 0) for p in form}

    def seen_by(self, me: Place) -> list[Peer]:
        known = [p for p in self.form if p == me or (me.port, p.port) in self.met]
        return [
            replace(self.peers[p], flags=self.peers[p].flags | {"myself"}) if p == me else self.peers[p]
            for p in known
        ]

    def step(self, me: Place) -> Command | None:
        return next_step(self.form, me, self.seen_by(me))

    def settle(self) -> None:
        for _ in range(50):
            steps = {place: self.step(place) for place in self.form if "fail" not in self.peers[place].flags}
            for place, step in steps.items():
                self._take(place, step)
            if not any(steps.values()):
                return
        pytest.fail(f"the cluster does not settle: {self.peers}")

    def _take(self, me: Place, step: Command | None) -> None:
        match step:
            case "CLUSTER", "MEET", _, int(port), _:
                self.met |= {(me.port, port), (port, me.port)}
            case "CLUSTER", "ADDSLOTSRANGE", int(first), int(last):
                self._change(me, slots=last - first + 1)
            case "CLUSTER", "REPLICATE", str(primary):
                self._change(me, primary=primary)
            case "CLUSTER", "FAILOVER":
                self.promote(me)

    def promote(self, me: Place) -> None:
        """A replica takes its primary's place, which becomes its replica."""
        old = next(place for place in self.form if place.name == self.peers[me].primary)
        self._change(me, primary="", slots=self.peers[old].slots)
        self._change(old, primary=me.name, slots=0)

    def fail(self, *places: Place) -> None:
        for place in places:
            self._change(place, flags=frozenset({"fail"}))

    def recover(self, *places: Place) -> None:
        for place in places:
            self._change(place, flags=frozenset())

    def lose_notes(self, me: Place) -> None:
        """Everything that a node knew, itself too."""
        self.met = {pair for pair in self.met if me.port not in pair}
        self._change(me, slots=0, primary="")

    def _change(self, place: Place, **fields: object) -> None:
        self.peers[place] = replace(self.peers[place], **fields)  # type: ignore[arg-type]

    def spread(self) -> dict[str, str]:
        """For each primary's zone the zone of its replica."""
        zone = {place.name: place.zone for place in self.form}
        return {zone[one.primary]: zone[place.name] for place, one in self.peers.items() if one.primary}


def test_each_zone_ends_with_a_primary_that_has_its_replica_in_another_zone() -> None:
    cluster = Cluster()
    cluster.settle()
    assert [cluster.peers[place].is_primary for place in FORM] == [True] * 3 + [False] * 3
    assert sum(peer.slots for peer in cluster.peers.values()) == SLOTS
    assert cluster.spread() == {"b": "a", "c": "b", "a": "c"}


def test_one_node_alone_has_every_slot() -> None:
    only = Place("valkey-a-0", "a", 7000, 8000)
    cluster = Cluster((only,))
    assert cluster.step(only) == ("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
    cluster.settle()
    assert cluster.peers[only].slots == SLOTS


def test_shares_are_whole_and_do_not_overlap() -> None:
    shares = [share(FORM, place) for place in (A0, B0, C0)]
    slots = [slot for first, last in shares for slot in range(first, last + 1)]
    assert slots == list(range(SLOTS))


def test_a_zone_that_comes_back_takes_its_part_over_again_so_that_any_zone_may_go_next() -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.fail(A0, A1)
    cluster.promote(C1)
    assert cluster.step(C1) is None
    cluster.recover(A0, A1)
    assert cluster.step(A0) == ("CLUSTER", "FAILOVER")
    assert [cluster.step(place) for place in FORM[1:]] == [None] * 5
    cluster.settle()
    assert sorted(place.zone for place in FORM if cluster.peers[place].is_primary) == ["a", "b", "c"]


def test_nobody_takes_over_where_each_zone_has_a_primary() -> None:
    cluster = Cluster()
    cluster.settle()
    for replica in (A1, B1, C1):
        cluster.promote(replica)
    assert [cluster.step(place) for place in FORM] == [None] * 6


def test_a_replica_that_lost_its_notes_finds_a_primary_without_one() -> None:
    cluster = Cluster()
    cluster.settle()
    cluster.lose_notes(B1)
    cluster.settle()
    assert cluster.spread() == {"b": "a", "c": "b", "a": "c"}


def test_nothing_is_decided_before_everybody_is_met() -> None:
    cluster = Cluster()
    cluster.met = {(A0.port, place.port) for place in FORM[1:-1]}
    assert cluster.step(A0) == ("CLUSTER", "MEET", "127.0.0.1", C1.port, C1.bus_port)
    cluster.met |= {(A0.port, C1.port)}
    cluster.peers[C1] = replace(cluster.peers[C1], flags=frozenset({"handshake"}))
    assert cluster.step(A0) is None


def test_what_a_node_says_of_the_cluster_is_read_as_it_is_written() -> None:
    text = (
        "07c3 127.0.0.1:7000@8000 myself,master - 0 1426238317239 4 connected 0-5460 9000 [93-<-292f]\n"
        "67ed 127.0.0.1:7001@8001,hostname slave,fail 07c3 1426238316232 1426238316232 2 disconnected\n"
        "292f :0@0 handshake - 0 0 0 connected\n"
    )
    me, replica, stranger = parse(text)
    assert (me.is_me, me.is_primary, me.slots, me.port) == (True, True, 5462, 7000)
    assert (replica.primary, replica.is_primary, replica.is_met, replica.is_well) == (
        "07c3",
        False,
        True,
        False,
    )
    assert not stranger.is_met
