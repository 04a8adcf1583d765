"""queue and dlq: what is still to be analysed, and what was given up. For operators."""

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import HomeOption, Output, OutputOption

if TYPE_CHECKING:
    from reverie_client.operator import DeadLetter

queue = typer.Typer(help="Look at the queue of analysis.", no_args_is_help=True)
dlq = typer.Typer(
    help="Look at analyses that were given up, and have them tried again.", no_args_is_help=True
)

_USER_HELP = "Only of this user of the home's tenant."


@queue.command()
def stat(*, output: OutputOption = Output.TABLE, home: HomeOption = None) -> None:
    """Count what is due, what waits and what was given up, by stage and model."""
    from ops.cli import backlog, printing, streams

    stats = backlog.stats(home)
    if output is Output.JSON:
        streams.print_json(backlog.stats_json(stats))
        return
    if stats.stages:
        columns = ("stage", "model", "ready", "waiting", "dead", "oldest")
        printing.print_rows(columns, backlog.stats_rows(stats))
        typer.echo(f"{stats.due:,} due, {stats.dead:,} dead")
    else:
        typer.echo("nothing is due, and no analysis was given up")


@dlq.command("list")
def list_(
    *,
    user: Annotated[str | None, typer.Option("--user", "-u", help=_USER_HELP, show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 50,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """List dead letters, the newest first."""
    from ops.cli import backlog, printing, streams

    letters = backlog.letters(home, user, limit)
    if output is Output.JSON:
        streams.print_json({"dead_letters": [backlog.letter_json(letter) for letter in letters]})
    elif letters:
        columns = ("name", "attempts", "given up", "last error")
        printing.print_rows(columns, (backlog.letter_row(letter) for letter in letters))
        typer.echo("next: `reverie dlq show NAME`, `reverie dlq replay NAME` or `--all`")
    else:
        streams.say("no analysis was given up")


@dlq.command()
def show(
    *,
    name: Annotated[str, typer.Argument(help="Its name, as `list` shows it, or the id of its memory.")],
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Show a dead letter with its first and last error."""
    from ops.cli import backlog, streams

    letters = backlog.named(home, name)
    if output is Output.JSON:
        streams.print_json({"dead_letters": [backlog.letter_json(letter) for letter in letters]})
        return
    for letter in letters:
        _print(letter)


@dlq.command()
def replay(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(help="Names, as `list` shows them.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Make dead letters due again. Safe at any time."""
    from ops.cli import backlog, streams

    count = backlog.replay(home, names or [], everything=everything)
    if output is Output.JSON:
        streams.print_json({"replayed": count})
    else:
        typer.echo(f"{count:,} due again: `reverie queue stat` shows how they go")


def _print(letter: "DeadLetter") -> None:
    from ops.cli import backlog, printing

    rows = [(key, value) for key, value in backlog.letter_json(letter).items()]
    printing.print_rows(("", ""), rows)
