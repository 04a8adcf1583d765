"""How a command ends: 0 it did what was asked, 1 it failed, 2 it was asked wrongly or could not begin;
130 somebody typed Ctrl-C.

Whatever is to be expected ends in one line that says what is wrong and what to do next; only a bug shows a
traceback. Nothing heavy is imported here: an error of a library that was never loaded can't have been raised.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperGroup

FAILED = 1
COULD_NOT_RUN = 2
INTERRUPTED = 130


class CommandError(Exception):
    """Ends a command with one line for the person who typed it."""

    def __init__(self, message: str, *, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


class Guarded(TyperGroup):
    """The group of all commands: tells expected errors in one line and ends with their code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            told = tell(error)
            if told is None:
                raise
            message, code = told
            typer.secho(f"reverie: {message}", err=True, fg=typer.colors.RED)
            raise typer.Exit(code) from None


def tell(error: Exception) -> tuple[str, int] | None:
    """What to say of an error, and the exit code; None for one that nobody expects."""
    for explain in _explanations():
        if (told := explain(error)) is not None:
            return told
    return None


def _explanations() -> Iterator[Callable[[Exception], tuple[str, int] | None]]:
    yield _command_error
    if "ops.local.home" in sys.modules:
        yield _home_error
    if "reverie_client.errors" in sys.modules:
        from ops.cli import call_failures

        yield call_failures.tell
    yield _file_error


def _command_error(error: Exception) -> tuple[str, int] | None:
    return (str(error), error.code) if isinstance(error, CommandError) else None


def _home_error(error: Exception) -> tuple[str, int] | None:
    from ops.local.home import HomeError

    return (str(error), COULD_NOT_RUN) if isinstance(error, HomeError) else None


def _file_error(error: Exception) -> tuple[str, int] | None:
    """A file that was named on the command line. Errors of sockets and pipes name none."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", COULD_NOT_RUN
    return None
