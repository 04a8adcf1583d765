"""Which edge to call: pure bookkeeping of those that failed lately."""

from dataclasses import dataclass

_FIRST_REST = 0.5
_LONGEST_REST = 15.0


@dataclass(slots=True)
class _Edge:
    failures: int = 0
    """In a row."""
    rests_until: float = 0.0


class Edges:
    """Prefers edges in their order and leaves out those that failed, for a while that doubles each time.

    Times are seconds of a monotonic clock. At least one edge.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError("there must be at least one edge")
        self._edges = [_Edge() for _ in range(count)]

    def __len__(self) -> int:
        return len(self._edges)

    def choose(self, now: float) -> int:
        """The first that does not rest; if all do, the one that has rested longest."""
        for index, edge in enumerate(self._edges):
            if edge.rests_until <= now:
                return index
        return min(range(len(self._edges)), key=lambda index: self._edges[index].rests_until)

    def failed(self, index: int, now: float) -> None:
        """Nothing answered there, or it is about to stop."""
        edge = self._edges[index]
        edge.rests_until = now + min(_FIRST_REST * 2.0 ** min(edge.failures, 16), _LONGEST_REST)
        edge.failures += 1

    def worked(self, index: int) -> None:
        """An answer came from there, whatever it says."""
        self._edges[index] = _Edge()
