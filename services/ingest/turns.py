"""Turns of bulk work: others wait for one slice of it, however much of it there is."""

import asyncio

SLICE = 24
"""Items that are prepared in a turn: about half a millisecond."""


class Turns:
    """Gives out turns, one in each round of the event loop, to whoever prepares many items, in line.

    A single write passes through the loop several times on its way; each time it finds one slice before it.
    """

    def __init__(self) -> None:
        self._line = asyncio.Lock()

    async def next(self) -> None:
        """Returns when a slice of work may be done, without waiting for anything in between."""
        async with self._line:
            await asyncio.sleep(0)
