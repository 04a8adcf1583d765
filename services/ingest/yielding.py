"""How bulk gives way: it slows down while single writes take much longer beside it than alone. Pure.

Where there are cores to spare single writes take no longer, and bulk goes on at full speed.
"""

TARGET = 2.5
"""How many times as long as alone a batch of single writes may take beside bulk."""

LEAST_SHARE = 0.1
"""Of its time bulk always works so much."""

LONGEST_PAUSE = 0.5
FORGOTTEN_AFTER = 1.0
"""So long after the last single write bulk has all of its time again. Seconds."""

_FIRST_GUESS = 0.010
"""What a batch of single writes takes alone, as long as none was seen."""

_WEIGHT = 1 / 16
_SLOWER, _FASTER = 0.8, 0.02
"""What a batch that took too long takes from bulk's share, as a factor, and what another one gives back."""


class Yielding:
    """Watches batches of single writes, and says how long bulk rests after each of its own. Seconds."""

    def __init__(self) -> None:
        self._alone = _FIRST_GUESS
        self._share = 1.0
        self._last_single = float("-inf")

    def single(self, took: float, now: float, *, beside_bulk: bool) -> None:
        """A batch of single writes was answered."""
        self._share = self._share_at(now)
        self._last_single = now
        if not beside_bulk:
            self._alone += (took - self._alone) * _WEIGHT
        elif took > TARGET * self._alone:
            self._share = max(LEAST_SHARE, self._share * _SLOWER)
        else:
            self._share = min(1.0, self._share + _FASTER)

    def rest(self, took: float, now: float) -> float:
        """How long bulk rests after a batch of its own."""
        share = self._share_at(now)
        return min(LONGEST_PAUSE, took * (1 / share - 1))

    def _share_at(self, now: float) -> float:
        return 1.0 if now - self._last_single > FORGOTTEN_AFTER else self._share
