"""What goes to standard output as JSON, and what is told beside it on stderr. Light to import."""

import json
from typing import Any

import typer


def print_json(value: Any) -> None:
    """One document."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_json_line(value: Any) -> None:
    """One of many documents, each on a line of its own."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def say(line: str) -> None:
    """A line about how it goes."""
    typer.echo(line, err=True)
