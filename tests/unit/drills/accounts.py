"""Random histories of clients with a store that loses answers, and what is there when they are over."""

from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import strategies as st

from ops.drills.checker import Seen
from ops.drills.journal import Journal, Kind, Outcome


@dataclass
class Store:
    """A memory that works: it applies an operation if it starts from the state that is there."""

    state: bytes | None = None
    etag: int = 0
    late: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Operations under way whose caller has given up: they may still arrive."""

    def apply(self, etag: int, digest: bytes | None) -> bool:
        if etag != self.etag:
            return False
        self.state, self.etag = digest, self.etag + 1
        return True


@dataclass
class Client:
    """Writes one memory after what it was told, and reads it with a token."""

    journal: Journal
    user: str
    id: UUID
    mark: str
    store: Store = field(default_factory=Store)
    etag: int = 0
    now: float = 0.0

    def write(self, digest: bytes | None, fate: str) -> None:
        if not self.journal.histories.get(self.id):
            kind = Kind.CREATE
        else:
            kind = Kind.DELETE if digest is None else Kind.UPDATE
        self.now += 1
        operation = self.journal.begin(self.user, self.id, kind, digest, self.mark, self.now)
        if fate == "answered":
            done = self.store.apply(self.etag, digest)
            self.journal.end(operation, Outcome.OK if done else Outcome.REFUSED, self.now)
            self.etag = self.store.etag if done else self.etag
        elif fate == "answer lost":
            self.store.apply(self.etag, digest)
            self.journal.end(operation, Outcome.UNKNOWN, self.now)
        elif fate == "arrives late":
            self.store.late.append((self.etag, digest))

    def read(self) -> None:
        promised = self.journal.promised(self.id)
        self.journal.saw(self.id, promised, self.store.state, self.now)

    def late_arrival(self) -> None:
        if self.store.late:
            self.store.apply(*self.store.late.pop())


FATES = st.sampled_from(["answered", "answered", "answered", "answer lost", "request lost", "arrives late"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), FATES),
        st.tuples(st.just("delete"), FATES),
        st.tuples(st.just("read"), st.none()),
        st.tuples(st.just("late"), st.none()),
    ),
    max_size=12,
)


@dataclass
class Account:
    """A journal, and what is there."""

    journal: Journal
    clients: list[Client]

    def there(self) -> list[Seen]:
        return [
            Seen(client.user, client.id, client.mark, client.store.state)
            for client in self.clients
            if client.store.state is not None
        ]


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """Some memories of some users, each with a history of its own."""
    journal = Journal()
    clients = []
    for number in range(draw(st.integers(1, 5))):
        client = Client(journal, f"user-{number % 2}", UUID(int=number), f"talk/{number}")
        client.write(b"%d/create" % number, draw(FATES))
        for place, (step, fate) in enumerate(draw(STEPS)):
            if step == "read":
                client.read()
            elif step == "late":
                client.late_arrival()
            elif not _is_gone(client):
                assert fate is not None
                client.write(None if step == "delete" else b"%d/%d" % (number, place), fate)
        clients.append(client)
    return Account(journal, [*clients, _settled(journal, 90, b"last"), _settled(journal, 91, None)])


def _settled(journal: Journal, number: int, last: bytes | None) -> Client:
    """Of a memory about which nothing is unknown."""
    client = Client(journal, "user-0", UUID(int=number), f"talk/{number}")
    client.write(b"%d/first" % number, "answered")
    client.write(last, "answered")
    return client


def _is_gone(client: Client) -> bool:
    """Whether its client was told that it is deleted: there is nothing to write any more."""
    history = client.journal.histories[client.id]
    return history.promised >= 0 and history.operations[history.promised].digest is None
