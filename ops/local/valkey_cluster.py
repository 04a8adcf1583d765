"""How nodes of Valkey become a cluster, and stay spread over the zones. Pure: one node's next step.

Each node looks at the cluster with its own eyes and takes only steps of its own, so nobody has to lead, no
step needs another node's, and a cluster that stopped half-way goes on. In the end each zone has one primary,
with a replica in another zone, so that any one zone may go and two primaries are left to agree on it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

SLOTS = 16_384
HOST = "127.0.0.1"

Command = tuple[str | int, ...]
"""What a node is to be told."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one node is meant to be."""

    name: str
    """As `valkey-a-0`."""
    zone: str
    port: int
    bus_port: int
    """Where it talks to other nodes."""
    starts_as_primary: bool = True


@dataclass(frozen=True, slots=True)
class Peer:
    """One node as another one sees it: a line of CLUSTER NODES."""

    id: str
    port: int
    flags: frozenset[str]
    primary: str
    """The id of the node that it replicates; empty for a primary."""
    slots: int
    """How many it answers for."""

    @property
    def is_me(self) -> bool:
        """Whether it is the one that looks."""
        return "myself" in self.flags

    @property
    def is_met(self) -> bool:
        """Whether it has said who it is."""
        return not self.flags & {"handshake", "noaddr"}

    @property
    def is_well(self) -> bool:
        """Whether it is met and nobody doubts that it lives."""
        return self.is_met and not self.flags & {"fail", "fail?"}

    @property
    def is_primary(self) -> bool:
        """Whether it answers for slots."""
        return self.slots > 0 and not self.primary


def parse(text: str) -> tuple[Peer, ...]:
    """The nodes of an answer to CLUSTER NODES."""
    return tuple(_peer(line.split()) for line in text.splitlines() if line)


def _peer(fields: Sequence[str]) -> Peer:
    id_, address, flags, primary, _sent, _heard, _epoch, _link, *ranges = fields
    return Peer(
        id=id_,
        port=int(address.partition("@")[0].rpartition(":")[2]),
        flags=frozenset(flags.split(",")),
        primary="" if primary == "-" else primary,
        slots=sum(_size(one) for one in ranges if not one.startswith("[")),
    )


def _size(slots: str) -> int:
    first, _, last = slots.partition("-")
    return int(last or first) - int(first) + 1


def share(form: Sequence[Place], me: Place) -> tuple[int, int]:
    """The first and the last slot of a node that starts as primary."""
    first_ones = [place for place in form if place.starts_as_primary]
    at = first_ones.index(me)
    return SLOTS * at // len(first_ones), SLOTS * (at + 1) // len(first_ones) - 1


def next_step(form: Sequence[Place], me: Place, seen: Sequence[Peer]) -> Command | None:
    """What this node should do now, by what it sees; None: nothing, it is where it belongs or has to wait."""
    by_port = {peer.port: peer for peer in seen if "noaddr" not in peer.flags}
    mine = next(peer for peer in seen if peer.is_me)
    for place in form:
        if place.port not in by_port:
            return "CLUSTER", "MEET", HOST, place.port, place.bus_port
    known = {place: by_port[place.port] for place in form}
    if not all(peer.is_met for peer in known.values()):
        return None
    if mine.is_primary:
        return None
    if mine.primary:
        return _take_over(known, me, mine)
    return _find_a_role(form, known, me)


def _find_a_role(form: Sequence[Place], known: dict[Place, Peer], me: Place) -> Command | None:
    """For a node that answers for nothing and replicates nobody."""
    if me.starts_as_primary and sum(peer.slots for peer in known.values()) < SLOTS:
        first, last = share(form, me)
        # Refused if another node has them, which this one then learns of.
        return "CLUSTER", "ADDSLOTSRANGE", first, last
    if not all_served(known.values()):
        return None
    choice = min(_choices(form, known, me), default=None)
    return ("CLUSTER", "REPLICATE", choice[-1]) if choice else None


def _choices(
    form: Sequence[Place], known: dict[Place, Peer], me: Place
) -> Iterator[tuple[bool, int, int, str]]:
    """Primaries to replicate, the best one first: elsewhere, with few replicas, in the next zone."""
    zones = sorted({place.zone for place in form})
    for place, peer in known.items():
        if peer.is_primary and peer.is_well:
            replicas = sum(other.primary == peer.id for other in known.values())
            distance = (zones.index(place.zone) - zones.index(me.zone)) % len(zones)
            yield place.zone == me.zone, replicas, distance, peer.id


def _take_over(known: dict[Place, Peer], me: Place, mine: Peer) -> Command | None:
    """For a replica: one whose zone has no primary relieves a zone that has two."""
    home = {peer.id: place.zone for place, peer in known.items()}
    primaries = [home[peer.id] for peer in known.values() if peer.is_primary and peer.is_well]
    theirs = home.get(mine.primary)
    if theirs in primaries and me.zone not in primaries and primaries.count(theirs) > 1:
        return "CLUSTER", "FAILOVER"
    return None


def all_served(peers: Iterable[Peer]) -> bool:
    """Whether some primary answers for each slot."""
    return sum(peer.slots for peer in peers if peer.is_well) == SLOTS
