"""The `reverie` command: which commands there are, and in which order help lists them.

Commands import what they need when they run, so that `reverie --help` answers at once.
"""

import inspect
import os
from collections.abc import Callable

import typer

from ops.cli.commands import bench, demo, drill, import_, platform, queue, read, write
from ops.cli.failures import Guarded
from services.runtime import engine

Command = Callable[..., None]

PANELS: dict[str, tuple[Command, ...]] = {
    "Begin": (demo.demo,),
    "Memories": (
        write.add,
        import_.import_,
        read.search,
        read.timeline,
        read.on_this_day,
        read.get,
        write.update,
        write.delete,
    ),
    "Platform": (
        platform.up,
        platform.down,
        platform.status,
        platform.restart,
        platform.logs,
        platform.doctor,
        platform.token,
    ),
    "Operation": (bench.bench, drill.drill),
}


def program() -> typer.Typer:
    """The command with all that belongs to it."""
    app = typer.Typer(
        cls=Guarded,
        name="reverie",
        help="Reverie, a memory platform: keeps what happened, and answers questions about it.",
        epilog="Exit code 0: done; 1: it failed; 2: asked wrongly, or it could not begin.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for panel, commands in PANELS.items():
        for command in commands:
            name = command.__name__.rstrip("_").replace("_", "-")
            app.command(name, help=help_of(command), rich_help_panel=panel)(command)
    app.add_typer(queue.queue, name="queue", rich_help_panel="Operation")
    app.add_typer(queue.dlq, name="dlq", rich_help_panel="Operation")
    return app


def help_of(command: Command) -> str:
    """What help says of it: its docstring, whose lines end where the source's do, as whole paragraphs."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def run() -> None:
    """The entry point."""
    # gRPC reads these when it is imported. By itself it notes on stderr whenever a connection ends.
    for name, value in {"GRPC_VERBOSITY": "ERROR", **engine.ENVIRONMENT}.items():
        os.environ.setdefault(name, value)
    program()()
