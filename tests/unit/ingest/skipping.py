"""A loop whose clock jumps to the next timer when there is nothing else to do: no test waits."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SkippingLoop(asyncio.SelectorEventLoop):
    """Begins at zero seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        loop: Any = self
        # A timer that was cancelled is not the one that is waited for.
        coming = [timer._when for timer in loop._scheduled if not timer._cancelled]
        if not loop._ready and coming:
            self.now = max(self.now, min(coming))
        base: Any = super()
        base._run_once()


def run(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns, in a loop of its own. AssertionError if it leaves tasks behind."""
    loop = SkippingLoop()
    try:
        result = loop.run_until_complete(asyncio.wait_for(main, 3_600))
        assert not asyncio.all_tasks(loop)
        return result
    finally:
        loop.close()
