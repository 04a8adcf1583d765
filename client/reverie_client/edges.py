"""Which edge to call: pure bookkeeping of those that failed lately."""

from collections.abc import Sequence
from dataclasses import dataclass

_FIRST_REST = 0.25
_LONGEST_REST = 2.0


@dataclass(slots=True)
class _Edge:
    failures: int = 0
    """In a row; those of calls that failed together are one."""
    rests_until: float = 0.0
    looked_at: bool = False
    """Whether somebody is finding out if it is well again."""


class Edges:
    """Prefers edges in their order, and leaves out one that failed until it was seen to be well again.

    It is to be looked at after a rest that doubles each time: a call would have to wait for one that hangs.
    Times are seconds of a monotonic clock. At least one edge.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError("there must be at least one edge")
        self._edges = [_Edge() for _ in range(count)]

    def __len__(self) -> int:
        return len(self._edges)

    def choose(self) -> int:
        """The first that is well; if none is, the one that has rested longest."""
        for index, edge in enumerate(self._edges):
            if not edge.failures:
                return index
        return min(range(len(self._edges)), key=lambda index: self._edges[index].rests_until)

    def due(self, now: float) -> Sequence[int]:
        """Those to be looked at now, each told once until `looked` is called. Never the only one there is."""
        found = [index for index, edge in enumerate(self._edges) if self._is_due(edge, now)]
        for index in found:
            self._edges[index].looked_at = True
        return found

    def looked(self, index: int, now: float, *, well: bool) -> None:
        """What was found."""
        self._edges[index].looked_at = False
        if well:
            self.worked(index)
        else:
            self.failed(index, now)

    def failed(self, index: int, now: float) -> None:
        """Nothing answered there, or it is about to stop."""
        edge = self._edges[index]
        if edge.failures and edge.rests_until > now:
            return
        edge.rests_until = now + min(_FIRST_REST * 2.0 ** min(edge.failures, 16), _LONGEST_REST)
        edge.failures += 1

    def worked(self, index: int) -> None:
        """An answer came from there, whatever it says."""
        edge = self._edges[index]
        edge.failures, edge.rests_until = 0, 0.0

    def _is_due(self, edge: _Edge, now: float) -> bool:
        return bool(len(self._edges) > 1 and edge.failures and not edge.looked_at and edge.rests_until <= now)
