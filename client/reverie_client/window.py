"""How many calls of a method are under way at a time, where the platform takes no more.

As with the congestion window of TCP: it is halved by a refusal, and grows by one in the time that all under
way take. Where even one is too many, nobody tries for a while. Without it new calls take the places for which
those wait that were refused, and under way are mostly refusals.
"""

import asyncio
import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

_QUIET_SECONDS = 1.0
"""After so long without a refusal, and nobody waiting, any number may be under way again."""
_ROOM_FOR_TWO = 2
_TIMES_FOR_ALL = 4
"""After so many refusals in a row of the only call under way, nobody tries for as long as was asked for."""


class Window:
    """Room for the calls of one method of one connection. Not to be used from several event loops."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._size = math.inf
        self._cut_at = -math.inf
        self._under_way = 0
        self._rest: asyncio.TimerHandle | None = None
        self._alone_in_vain = 0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @property
    def is_open(self) -> bool:
        """Whether any number may be under way."""
        return self._size == math.inf

    async def enter(self, ends: float) -> float:
        """Counts a call in once there is room for it, and tells when that was: it has to `leave`.

        `ends`: its deadline by the clock. Of those that wait, the one with the least time left comes first.
        TimeoutError if there was no room by then.
        """
        if self._has_room():
            self._under_way += 1
        else:
            await self._turn(ends)
        return self._clock()

    def leave(self, entered: float, *, refused_for: float | None = None) -> None:
        """Counts a call out; `refused_for`: the seconds after which to come again, if it was one too many.

        A refusal of what came in before the last one had its effect says nothing new.
        """
        if refused_for is None:
            self._alone_in_vain = 0
            self._size += 1 / self._size
        elif entered >= self._cut_at:
            self._cut(refused_for)
        self._under_way -= 1
        self._admit()

    def _cut(self, seconds: float) -> None:
        """Leaves room for half of those under way; where one alone had room, for nobody for a while.

        One such refusal may be chance; after each more in a row the pause is twice as long, up to `seconds`.
        """
        if self._size < _ROOM_FOR_TWO and self._rest is None:
            self._alone_in_vain += 1
            share = 2.0 ** min(0, self._alone_in_vain - _TIMES_FOR_ALL)
            self._rest = asyncio.get_running_loop().call_later(seconds * share, self._rested)
        self._cut_at = self._clock()
        self._size = max(1.0, self._under_way / 2)

    def _rested(self) -> None:
        self._rest = None
        self._admit()

    def _has_room(self) -> bool:
        if self._waiting or self._rest is not None:
            return False
        if self._clock() - self._cut_at > _QUIET_SECONDS:
            self._size = math.inf
        return self._under_way + 1 <= self._size

    async def _turn(self, ends: float) -> None:
        """Waits for room; who lets it in counts it in, so that nobody takes its place meanwhile."""
        turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (ends, next(self._numbers), turn))
        try:
            async with asyncio.timeout(max(0.0, ends - self._clock())):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                # It gave up in the moment in which it was let in.
                self._under_way -= 1
            turn.cancel()
            self._admit()
            raise

    def _admit(self) -> None:
        """Lets in who waits, as far as there is room."""
        while self._waiting and self._rest is None and self._under_way + 1 <= self._size:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)
