"""import: takes in a file of memories."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.failures import FAILED
from ops.cli.options import DEFAULT_USER, HomeOption, Output, OutputOption


class Format(StrEnum):
    """What a file to import looks like."""

    JSONL = "jsonl"
    LOCOMO = "locomo"


def import_(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The file; - reads standard input. May be left out for locomo: $REVERIE_LOCOMO.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str, typer.Option("--user", "-u", envvar="REVERIE_USER", help="Whose memories; for locomo a prefix.")
    ] = DEFAULT_USER,
    format: Annotated[  # noqa: A002 - the name of the option
        Format, typer.Option(help="One memory a line as JSON, or the LoCoMo file.")
    ] = Format.JSONL,
    wait: Annotated[bool, typer.Option("--wait", help="Until all of it is analysed.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="How many memories travel together.")] = 100,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Take in a file of memories; again, it adds nothing.

    Lines that can't be read, or that the platform refuses, are told by number; the rest goes in, and the exit
    code is 1. Interrupted, it goes on where it stopped when the same command is typed again.
    """
    from ops.cli import importer, streams

    source = importer.open_source(file, format.value, user)
    report = importer.run(home, source, batch=batch, wait=wait)
    if output is Output.JSON:
        streams.print_json(report.as_json())
    else:
        for line in report.lines():
            typer.echo(line)
    if report.failed:
        raise typer.Exit(FAILED)
