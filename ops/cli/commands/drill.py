"""drill: breaks something on purpose, under load, and counts what became of every memory."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.failures import COULD_NOT_RUN, FAILED, CommandError
from ops.cli.options import HomeOption, Output, OutputOption

if TYPE_CHECKING:
    from ops.drills.drill import Drill
    from ops.drills.record import Record
    from ops.drills.sabotage import Sabotage
    from ops.drills.stage import Options

ALL = "all"
_SEEDS = 1_000_000


def drill(
    *,
    name: Annotated[
        str | None, typer.Argument(help="Which drill, or all; --list shows them.", show_default=False)
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the drills and run none.")] = False,
    zones: Annotated[
        int | None,
        typer.Option(help="In how many zones: 1 or 3.", show_default="the smallest form of each drill"),
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 1,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Decides whom it befalls; each further round adds one.", show_default="any, and it is told"
        ),
    ] = None,
    sabotage: Annotated[
        str | None,
        typer.Option(
            help="Damage one thing behind the checker's back: lose, twice, wrong, resurrect or stale.",
            show_default=False,
        ),
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Break the running platform, not one made for it.")
    ] = False,
    docs: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="A folder whose drills.md is written anew.",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Break something on purpose, under load, and count what became of every memory.

    Exit code 0: every hypothesis held; 1: one did not. JSON: one record a drill.
    """
    if listing:
        _list(output)
        return
    import random

    from ops.drills.stage import Options

    chosen = _chosen(name, zones)
    if sabotage is not None and docs is not None:
        raise CommandError("--docs: a sabotaged drill says nothing of the platform", code=COULD_NOT_RUN)
    options = Options(
        seed=random.randrange(_SEEDS) if seed is None else seed,  # noqa: S311  (told, to be used again)
        times=times,
        zones=zones,
        sabotage=_sabotage(sabotage),
        running=running,
        home=home,
    )
    records = _run(chosen, options, output, docs)
    if any(record.broken for record in records):
        raise typer.Exit(FAILED)


def _run(drills: "Sequence[Drill]", options: "Options", output: Output, docs: Path | None) -> "list[Record]":
    """Runs them; each record is printed as it comes, or all as a table at the end, and kept in the docs."""
    from ops.drills.drill import CannotRunError
    from ops.local.operate import StartError
    from services.runtime import process

    records: list[Record] = []
    reason = ""
    try:
        process.run(_collect(drills, options, output, records))
    except (CannotRunError, StartError) as error:
        reason = str(error)
    if output is Output.TABLE:
        _print(records)
    if docs is not None and records:
        from ops.drills import report

        typer.echo(f"wrote {report.publish(records, docs)}", err=True)
    if reason:
        raise CommandError(reason, code=COULD_NOT_RUN)
    return records


async def _collect(
    drills: "Sequence[Drill]", options: "Options", output: Output, records: "list[Record]"
) -> None:
    import contextlib

    from ops.drills import stage

    async with contextlib.aclosing(stage.run(drills, options)) as coming:
        async for record in coming:
            records.append(record)
            stage.say(f"{record.drill}, seed {record.seed}: {record.verdict.value}{_because(record)}")
            if output is Output.JSON:
                typer.echo(record.to_json())


def _because(record: "Record") -> str:
    return "".join(f"\n  {reason}" for reason in record.broken)


def _chosen(name: str | None, zones: int | None) -> "list[Drill]":
    """The drills of that name, of all those that there are for so many zones."""
    from ops.drills import registry

    if name is None:
        raise CommandError(f"name a drill: {', '.join(registry.NAMES)} or {ALL}", code=COULD_NOT_RUN)
    try:
        found = [*registry.drills()] if name == ALL else [registry.drill(name)]
    except KeyError as error:
        raise CommandError(str(error.args[0]), code=COULD_NOT_RUN) from None
    fitting = [each for each in found if zones is None or zones in each.hypothesis.then]
    if not fitting:
        raise CommandError(f"{name} is not for {zones} zones: see `reverie drill --list`", code=COULD_NOT_RUN)
    return fitting


def _sabotage(kind: str | None) -> "Sabotage | None":
    from ops.drills.sabotage import Sabotage

    if kind is None:
        return None
    try:
        return Sabotage(kind)
    except ValueError:
        kinds = ", ".join(Sabotage)
        raise CommandError(f"--sabotage: {kind!r} is none of {kinds}", code=COULD_NOT_RUN) from None


def _print(records: "Iterable[Record]") -> None:
    from ops.cli import printing

    columns = ("drill", "zones", "verdict", "failed", "gap", "noticed", "well", "damage")
    printing.print_rows(columns, map(_row, records))


def _row(record: "Record") -> tuple[object, ...]:
    damage = (record.lost, record.twice, record.wrong, record.resurrected, record.stale_reads)
    return (
        record.drill,
        record.zones,
        record.verdict.value,
        f"{record.failed_calls} of {record.calls}",
        _seconds(record.longest_error_gap_seconds),
        _seconds(record.detected_seconds),
        _seconds(record.recovered_seconds),
        "not known" if None in damage else sum(number or 0 for number in damage),
    )


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _list(output: Output) -> None:
    from ops.cli import printing, streams
    from ops.drills import registry

    rows = [(each.name, each.hypothesis) for each in registry.drills()]
    if output is Output.JSON:
        streams.print_json(
            {
                "drills": [
                    {"name": name, "hypothesis": hypothesis.sentences(), "zones": sorted(hypothesis.then)}
                    for name, hypothesis in rows
                ]
            }
        )
    else:
        printing.print_rows(
            ("name", "zones", "hypothesis"),
            (
                (name, " or ".join(map(str, sorted(hypothesis.then))), hypothesis.sentences())
                for name, hypothesis in rows
            ),
        )
