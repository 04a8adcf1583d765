"""How a command ends.

| code | it                                                                                   |
|------|--------------------------------------------------------------------------------------|
| 0    | did what was asked                                                                   |
| 1    | failed                                                                               |
| 2    | was asked wrongly, or could not begin: nothing runs, no file, a port taken, no right |
| 3    | `status` alone: nothing runs                                                         |
| 130  | was ended by Ctrl-C                                                                  |

Whatever is to be expected ends in one line that says what is wrong and what to do next; only a bug shows a
traceback. Nothing heavy is imported here: an error of a library that was never loaded can't have been raised.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

FAILED = 1
COULD_NOT_RUN = 2
NOTHING_RUNS = 3
INTERRUPTED = 130

_Value = TypeVar("_Value")
_OF_THE_PLATFORM = (
    ("ops.local.home", "HomeError"),
    ("ops.local.pki", "PkiError"),
    ("ops.local.ports", "PortTakenError"),
    ("ops.local.valkey", "ValkeyMissingError"),
)
"""What keeps a command from beginning, by module and name; each says itself what to do."""


class CommandError(Exception):
    """Ends a command with one line for the person who typed it."""

    def __init__(self, message: str, *, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def checked(option: str, read: Callable[..., _Value], *typed: object) -> _Value:
    """What an option's text says. CommandError that names the option for what can't be read."""
    try:
        return read(*typed)
    except (ValueError, OverflowError) as wrong:
        raise CommandError(f"{option}: {wrong}", code=COULD_NOT_RUN) from None


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
    yield _platform_error
    if "reverie_client.errors" in sys.modules:
        from ops.cli import call_failures

        yield call_failures.tell
    yield _system_error


def _command_error(error: Exception) -> tuple[str, int] | None:
    return (str(error), error.code) if isinstance(error, CommandError) else None


def _platform_error(error: Exception) -> tuple[str, int] | None:
    for module, name in _OF_THE_PLATFORM:
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], name)):
            return str(error), COULD_NOT_RUN
    return None


def _system_error(error: Exception) -> tuple[str, int] | None:
    """A file that was named on the command line, a program that is missing, a wait that was too long.

    Errors of sockets and pipes name no file, and a wait that nobody worded is a bug.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", COULD_NOT_RUN
    if isinstance(error, FileNotFoundError) and error.errno is None:
        return str(error), COULD_NOT_RUN
    if isinstance(error, TimeoutError) and error.errno is None and str(error):
        return str(error), FAILED
    return None
