"""Progress of long work, on stderr: a bar where somebody watches, and nothing but notes where nobody does."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from ops.cli.printing import progress_console


class Progress:
    """Shows one thing at a time; lines about it go above the bar."""

    def __init__(self, position: Callable[[], float | None] = lambda: None) -> None:
        self._position = position
        self._console = progress_console()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._phase = ""

    def show(self, count: int) -> None:
        """So many memories have been taken in."""
        self._update("taking in", self._position(), f"{count:,}")

    def analysed(self, due: int, at_first: int) -> None:
        """So many analyses are left of those there were."""
        done = 1.0 if not at_first else 1 - due / at_first
        self._update("analysing", done, f"{due:,} left")

    def tell(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, markup=False, soft_wrap=True)

    def _update(self, phase: str, done: float | None, count: str) -> None:
        if phase != self._phase or self._task is None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task, self._phase = self._bars.add_task(phase, total=1.0, count=count), phase
        self._bars.update(self._task, completed=done or 0.0, count=count)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
