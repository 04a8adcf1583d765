"""How much the callers of a lane may have on their way."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from services.runtime.errors import Overloaded

RETRY_DELAY = timedelta(milliseconds=250)
"""What a caller is told to wait when a lane is full: a few hundred rows are through by then."""


class Room:
    """So many rows and bytes. Who finds too little is refused, or waits behind those who came before."""

    def __init__(self, rows: int, size: int, refused: Callable[[], None]) -> None:
        self._rows = rows
        self._size = size
        self._refused = refused
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    def take(self, rows: int, size: int) -> None:
        """Overloaded, with nothing taken, if there is not so much left."""
        if self._waiting or not self._fits(rows, size):
            self._refused()
            raise Overloaded(retry_delay=RETRY_DELAY)
        self._rows -= rows
        self._size -= size

    async def wait(self, rows: int, size: int, seconds: float) -> None:
        """Takes so much as soon as it is there. Overloaded, with nothing taken, when that takes too long."""
        if not self._waiting and self._fits(rows, size):
            self.take(rows, size)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, size, turn))
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as failure:
            self._withdraw(rows, size, turn)
            if isinstance(failure, TimeoutError):
                self._refused()
                raise Overloaded(retry_delay=RETRY_DELAY) from None
            raise

    def give_back(self, rows: int, size: int) -> None:
        """Makes room for others."""
        self._rows += rows
        self._size += size
        self._serve()

    def _fits(self, rows: int, size: int) -> bool:
        return rows <= self._rows and size <= self._size

    def _serve(self) -> None:
        """Gives those who wait their turn, in their order, as far as there is room."""
        while self._waiting:
            rows, size, turn = self._waiting[0]
            if not turn.cancelled():
                if not self._fits(rows, size):
                    return
                self._rows -= rows
                self._size -= size
                turn.set_result(None)
            self._waiting.popleft()

    def _withdraw(self, rows: int, size: int, turn: "asyncio.Future[None]") -> None:
        """Leaves the line; gives back what was given in the same moment."""
        if turn.done() and not turn.cancelled():
            self.give_back(rows, size)
            return
        turn.cancel()
        self._serve()
