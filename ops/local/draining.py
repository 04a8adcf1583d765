"""Lets a proxy finish the calls under way before it is told to end: its SIGTERM cuts them off."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from mesh.inspection import read

_PAUSE = 0.02
_ACTIVE = re.compile(r"^http\.edge\.downstream_rq_active: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EdgeDrained:
    """Has an edge take no more connections, and waits until no call is under way, however long that takes."""

    admin_socket: Path

    async def __call__(self) -> None:
        """AdminError if it can't be asked."""
        # In this order: the first tells clients with each answer to go elsewhere, the second shuts the door.
        for path in ("/drain_listeners?graceful", "/drain_listeners"):
            await asyncio.to_thread(read, self.admin_socket, path, "POST")
        while True:
            if not await asyncio.to_thread(active, self.admin_socket):
                return
            await asyncio.sleep(_PAUSE)


def active(admin_socket: Path) -> int:
    """How many calls of clients are under way at an edge. AdminError if it can't be asked."""
    found = _ACTIVE.search(read(admin_socket, "/stats?filter=downstream_rq_active"))
    return int(found[1]) if found else 0
