"""Turns of bulk work: others wait for one slice of it, however much of it there is."""

import asyncio
from typing import Self

SLICE = 24
"""Items that are prepared in a turn: about half a millisecond."""


class Turns:
    """Gives out turns, one in each round of the event loop. As a context: who is inside has all of them.

    A single write passes through the loop several times on its way; each time it finds one slice before it.
    Calls are prepared one after the other: if they took turns, all of them would be ready together, and
    nobody would prepare while they wait for storage.
    """

    def __init__(self) -> None:
        self._line = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._line.acquire()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._line.release()

    async def next(self) -> None:
        """Returns when a slice of work may be done, without waiting for anything in between."""
        await asyncio.sleep(0)
