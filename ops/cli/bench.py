"""bench: measures the platform as a client sees it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.failures import COULD_NOT_RUN, CommandError
from ops.cli.options import HomeOption, Output, OutputOption

if TYPE_CHECKING:
    from ops.bench.record import Record
    from ops.bench.registry import Options, Run

ALL = "all"


def bench(
    *,
    name: Annotated[
        str | None, typer.Argument(help="Which bench, or all; --list shows them.", show_default=False)
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the benches and run none.")] = False,
    running: Annotated[
        bool, typer.Option("--running", help="Measure the running platform, not one made for it.")
    ] = False,
    dataset: Annotated[
        Path | None,
        typer.Option(help="The LoCoMo file of `retrieval`; else $REVERIE_LOCOMO.", show_default=False),
    ] = None,
    embedder: Annotated[str, typer.Option(help="The embedder of the platform that is made.")] = "minilm",
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Measure what calls cost over their floor, and how good answers are. Prints one record a bench."""
    import asyncio

    from ops.bench.registry import BENCHES, CannotRunError, Options

    if listing:
        _list(output)
        return
    chosen = [each for each in BENCHES if name in {each.name, ALL}]
    if not chosen:
        names = ", ".join(each.name for each in BENCHES)
        raise CommandError(f"name a bench: {names} or {ALL}", code=COULD_NOT_RUN)
    options = Options(running=running, home=home, dataset=dataset, embedder=embedder)
    for each in chosen:
        try:
            record = asyncio.run(_measure(each.load(), options))
        except CannotRunError as reason:
            raise CommandError(f"{each.name}: {reason}", code=COULD_NOT_RUN) from None
        typer.echo(record.to_json())


async def _measure(run: "Run", options: "Options") -> "Record":
    return await run(options)


def _list(output: Output) -> None:
    from ops.bench.registry import BENCHES
    from ops.cli import printing

    if output is Output.JSON:
        printing.print_json({"benches": [{"name": each.name, "question": each.question} for each in BENCHES]})
    else:
        printing.print_rows(("name", "question"), ((each.name, each.question) for each in BENCHES))
