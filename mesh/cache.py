"""What every proxy shall have, and every stream that is open: when the one changes, the others are woken."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

from mesh.ordering import Conversation
from mesh.subscription import Request
from mesh.wire import Snapshot
from services.runtime.clock import WallClock, utc_now


class Session:
    """One stream of one proxy, open or closed."""

    def __init__(self, node_id: str, connect_time: datetime) -> None:
        self.node_id = node_id
        self.connect_time = connect_time
        self.connected = True
        self.conversation = Conversation()
        self.snapshot: Snapshot | None = None
        self._woken = asyncio.Event()

    def want(self, snapshot: Snapshot | None) -> None:
        """Give the proxy other contents, and wake the stream, if they are other ones."""
        if snapshot != self.snapshot:
            self.snapshot = snapshot
            self.conversation.want(snapshot)
            self.wake()

    def wake(self) -> None:
        """There may be something to say."""
        self._woken.set()

    async def woken(self, seconds: float | None) -> None:
        """Return when `wake` was called since the last return, or after so many seconds."""
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return
        self._woken.clear()


class Cache:
    """The snapshots that are in force, and the sessions that they are for."""

    def __init__(self, clock: WallClock = utc_now) -> None:
        self._clock = clock
        self._snapshots: Mapping[str, Snapshot] = {}
        self._open: set[Session] = set()
        self._latest: dict[str, Session] = {}

    def publish(self, snapshots: Mapping[str, Snapshot]) -> None:
        """From now on these are in force. A proxy that is not among them keeps what it has."""
        self._snapshots = snapshots
        for session in self._open:
            if session.node_id in snapshots:
                session.want(snapshots[session.node_id])
        self._latest = {
            node_id: session
            for node_id, session in self._latest.items()
            if session.connected or node_id in snapshots
        }

    def open(self, node_id: str) -> Session:
        """A new stream of a proxy."""
        session = Session(node_id, self._clock())
        session.want(self._snapshots.get(node_id))
        self._open.add(session)
        self._latest[node_id] = session
        return session

    def hear(self, session: Session, kind: str, request: Request) -> None:
        """The proxy said something."""
        session.conversation.receive(kind, request)
        session.wake()

    def close(self, session: Session) -> None:
        """The stream has ended."""
        session.connected = False
        self._open.discard(session)

    def sessions(self) -> list[Session]:
        """The last stream of each proxy that is or was connected, by node id."""
        return [self._latest[node_id] for node_id in sorted(self._latest)]
