"""bench: measures the platform as a client sees it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.failures import COULD_NOT_RUN, CommandError
from ops.cli.options import EmbedderOption, HomeOption, Output, OutputOption
from ops.local.embedders import Embedder

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
    embedder: EmbedderOption = Embedder.MINILM,
    zones: Annotated[int, typer.Option(min=1, max=3, help="1 or 3: of the platform made for it.")] = 1,
    docs: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="A folder whose benchmarks.md is written anew.",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Measure what calls cost over their floor, and how good answers are. JSON: one record a bench."""
    from ops.bench.registry import BENCHES, CannotRunError, Options
    from services.runtime import process

    if listing:
        _list(output)
        return
    chosen = [each for each in BENCHES if name in {each.name, ALL}]
    if not chosen:
        names = ", ".join(each.name for each in BENCHES)
        raise CommandError(f"name a bench: {names} or {ALL}", code=COULD_NOT_RUN)
    options = Options(running=running, home=home, dataset=dataset, embedder=embedder.value, zones=zones)
    records = []
    for each in chosen:
        try:
            records.append(process.run(_measure(each.load(), options)))
        except CannotRunError as reason:
            raise CommandError(f"{each.name}: {reason}", code=COULD_NOT_RUN) from None
        _show(records[-1], output)
    if docs is not None:
        from ops.bench import report

        typer.echo(f"wrote {report.publish(records, docs)}", err=True)


def _show(record: "Record", output: Output) -> None:
    """One record: a line of JSON, or its goals with what was measured."""
    from ops.bench import report
    from ops.cli import printing

    if output is Output.JSON:
        typer.echo(record.to_json())
        return
    rows = (
        (goal.figure, f"{value:g}", goal.bound, "met" if goal.is_met(value) else "missed", goal.meaning)
        for goal, value in report.goals_of(record)
    )
    printing.print_rows((record.bench, "measured", "goal", "", "what it is"), rows)


async def _measure(run: "Run", options: "Options") -> "Record":
    return await run(options)


def _list(output: Output) -> None:
    from ops.bench.registry import BENCHES
    from ops.cli import printing, streams

    if output is Output.JSON:
        streams.print_json({"benches": [{"name": each.name, "question": each.question} for each in BENCHES]})
    else:
        printing.print_rows(("name", "question"), ((each.name, each.question) for each in BENCHES))
