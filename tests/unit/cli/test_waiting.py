from collections.abc import Sequence

import pytest

from ops.cli.failures import CommandError
from ops.cli.waiting import PATIENCE, until_analysed
from reverie_client import AnalysisState


class Backlog:
    """Answers from a list, the last for ever, on a clock that only waiting moves."""

    def __init__(self, due: Sequence[int], dead: int = 0) -> None:
        self.due = list(due)
        self.dead = dead
        self.now = 0.0

    async def ask(self) -> AnalysisState:
        due = self.due.pop(0) if len(self.due) > 1 else self.due[0]
        return AnalysisState(due, None, self.dead)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


async def wait(backlog: Backlog, shown: list[tuple[int, int]] | None = None) -> int:
    show = (lambda due, first: shown.append((due, first))) if shown is not None else lambda _, __: None
    return await until_analysed([backlog.ask], show, clock=backlog.clock, sleep=backlog.sleep)


async def test_it_waits_until_nothing_is_due_and_shows_how_it_goes() -> None:
    shown: list[tuple[int, int]] = []
    assert await wait(Backlog([3, 2, 0], dead=1), shown) == 1
    assert shown == [(3, 3), (2, 3), (0, 3)]


async def test_a_backlog_that_does_not_shrink_is_told() -> None:
    backlog = Backlog([5])
    with pytest.raises(CommandError, match="5 analyses are due"):
        await wait(backlog)
    assert PATIENCE < backlog.now < PATIENCE + 1


async def test_a_backlog_that_shrinks_slowly_is_waited_for() -> None:
    slow = [left for left in range(3, -1, -1) for _ in range(400)]
    assert await wait(Backlog(slow)) == 0
