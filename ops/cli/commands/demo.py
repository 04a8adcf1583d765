"""demo: the platform, a year of memories and some questions, by one command."""

import typer

from ops.cli.failures import FAILED
from ops.cli.options import HomeOption, OperatorPortOption, Output, OutputOption, PortOption


def demo(
    *,
    port: PortOption = None,
    operator_port: OperatorPortOption = None,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Start the platform, take in a year of memories, ask about it. Leaves the platform running."""
    from ops.cli import demonstration, streams

    shown = demonstration.run(home, port, operator_port)
    if output is Output.JSON:
        streams.print_json(shown.as_json())
    else:
        demonstration.show(shown)
    if not shown.is_well:
        raise typer.Exit(FAILED)
