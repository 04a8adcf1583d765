"""The commands that run a platform on this machine: up, down, status, restart, logs, doctor, token.

Each is a function with typer's annotations; the program mounts them. What is heavy is imported when a
command needs it.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import start_failures, streams
from ops.cli.failures import FAILED, NOTHING_RUNS, CommandError
from ops.cli.options import (
    EmbedderOption,
    HomeOption,
    OperatorPortOption,
    Output,
    OutputOption,
    PortOption,
)
from ops.local.embedders import Embedder

if TYPE_CHECKING:
    from ops.local.home import Home
    from ops.local.plan import Options

ZonesOption = Annotated[
    int | None, typer.Option(help="How many zones, 1 or 3; without it: as last time, else 1.")
]
RESTART_WITHIN = timedelta(seconds=120)
"""PostgreSQL may take long to write what it holds, and to recover."""


def up(
    *,
    home: HomeOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything is healthy.")
    ] = False,
    port: PortOption = None,
    operator_port: OperatorPortOption = None,
    embedder: EmbedderOption = Embedder.MINILM,
    lanes: Annotated[int, typer.Option(min=1, max=64, help="Batches of writes under way at a time.")] = 1,
    zones: ZonesOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start the platform on this machine. Without --detach: stay, show the logs, stop it at Ctrl-C."""
    if not detach:
        # This process becomes the supervisor; see ops/local/background.py. Before gRPC is loaded.
        os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    from ops.local.plan import Options

    place = _locate(home)
    options = Options(port, operator_port, embedder.value, lanes, zones)
    with start_failures.told(place):
        asyncio.run((_detached if detach else _foreground)(place, options, output))


def down(home: HomeOption = None, output: OutputOption = Output.TABLE) -> None:
    """Stop the platform and everything that belongs to it. What it keeps stays."""
    from ops.local.home import NotRunningError
    from ops.local.platform import Platform

    place = _locate(home)
    was_running = True
    try:
        asyncio.run(Platform(place).stop(streams.say))
    except NotRunningError:
        was_running = False
    text = "stopped; nothing of it runs any more" if was_running else "nothing to stop: no platform runs"
    _answer(output, {"home": str(place.root), "was_running": was_running}, f"{text} in {place.root}")


def status(home: HomeOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show every instance with its proxy, how fast it is, and what is to be analysed.

    Exit code 0: all is well; 1: something is not; 3: nothing runs.
    """
    from ops.local import observe
    from ops.local.home import NotRunningError

    try:
        seen = asyncio.run(observe.look(_locate(home)))
    except NotRunningError as error:
        raise CommandError(str(error), code=NOTHING_RUNS) from None
    if output is Output.JSON:
        streams.print_json(seen.as_json())
    else:
        from ops.cli.status_table import show

        show(seen)
    if not seen.is_well:
        raise typer.Exit(FAILED)


def restart(
    name: Annotated[str, typer.Argument(help="A process, as `reverie status` and `reverie logs` name it.")],
    home: HomeOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop a process in order, if it runs, and start it at once; wait until it is ready."""
    from ops.local.platform import Platform

    place = _locate(home)
    with start_failures.told(place):
        asyncio.run(Platform(place).restart(name, RESTART_WITHIN))
    _answer(output, {"home": str(place.root), "restarted": name}, f"{name} is ready again in {place.root}")


def logs(
    *,
    name: Annotated[
        str | None, typer.Argument(help="A process, or an instance with its proxy. Else: all.")
    ] = None,
    home: HomeOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each log.")] = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what the processes wrote, also when nothing runs."""
    from ops.local import logs as files

    paths = files.choose(_locate(home), name)
    follower = files.Follower(paths)
    for path in paths:
        for line in files.tail(path, lines):
            _print_line(path.stem, line, output, alone=len(paths) == 1)
    if follow:
        asyncio.run(_follow(follower, lambda process, line: _print_line(process, line, output)))


def doctor(
    home: HomeOption = None,
    port: PortOption = None,
    operator_port: OperatorPortOption = None,
    zones: ZonesOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Look whether this machine has what a platform needs. Exit code 1: it would not start."""
    from ops.local import doctor as examination
    from ops.local.plan import Options

    context = examination.Context(_locate(home), Options(port, operator_port, zones=zones))
    results = examination.examine(context)
    if output is Output.JSON:
        streams.print_json({"checks": [result.as_json() for result in results]})
    else:
        for result in results:
            mark = "ok" if not result.found else result.check.severity.value
            typer.echo(f"{mark:8} {result.check.description}")
            if result.found:
                typer.echo(f"{'':8} {result.found}: {result.check.hint}")
    if any(result.is_fatal for result in results):
        raise typer.Exit(FAILED)


def token(
    user: Annotated[str | None, typer.Option(help="Whose memories it opens.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="users:* (every user) or operator; repeat it.")
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it is valid, as 90s, 15m, 12h or 7d.")] = "12h",
    home: HomeOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a JWT for development: `authorization: Bearer TOKEN`. Without user and scope: for every user."""
    from ops.local import identity

    place = _locate(home)
    scopes = tuple(scope or (() if user else (identity.ANY_USER,)))
    life = parse_duration(ttl)
    text = identity.issue_token(place, user=user, scopes=scopes, ttl=life)
    facts = {"token": text, "tenant": str(place.tenant()), "user": user, "scopes": list(scopes)}
    _answer(output, {**facts, "ttl_seconds": int(life.total_seconds())}, text)


def parse_duration(text: str) -> timedelta:
    """`90s`, `15m`, `12h`, `7d`. typer.BadParameter otherwise."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 8 and unit in units):
        raise typer.BadParameter(f"{text!r} is no length of time: say 90s, 15m, 12h or 7d")
    return timedelta(**{units[unit]: int(number)})


async def _detached(home: "Home", options: "Options", output: Output) -> None:
    from ops.local.platform import Platform

    platform = await Platform.start(home, options, report=streams.say)
    _print_endpoint(platform.home, output)


async def _foreground(home: "Home", options: "Options", output: Output) -> None:
    """The supervisor is this process."""
    from ops.local.operate import operate

    showing = asyncio.create_task(_show_logs(home, output))
    try:
        await operate(home, options, environ=os.environ, report=streams.say)
    finally:
        showing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await showing


async def _show_logs(home: "Home", output: Output) -> None:
    """Once all is healthy, show where to call, then what is written from then on."""
    from ops.local import logs as files
    from ops.local import procfs, record

    me = procfs.identify(os.getpid())
    while True:
        found = record.load(home.state)
        if found and found.supervisor == me and found.stage is record.Stage.READY:
            break
        await asyncio.sleep(0.1)
    _print_endpoint(home, output)
    paths = [home.log_of(name) for name in files.names(home)]
    await _follow(
        files.Follower(paths), lambda process, line: streams.say(f"{process:18} {files.pretty(line)}")
    )


async def _follow(follower: Any, show: Callable[[str, str], None]) -> None:
    while True:
        for process, line in follower.read():
            show(process, line)
        await asyncio.sleep(0.2)


def _print_endpoint(home: "Home", output: Output) -> None:
    endpoint = home.endpoint()
    text = (
        f"the platform runs in {home.root}\n"
        f"  applications  {', '.join(endpoint.public)}\n"
        f"  operators     {', '.join(endpoint.operator)}\n"
        f"  authority     {endpoint.ca}\n"
        "next: `reverie status`, `reverie token --user NAME`, `reverie down`"
    )
    _answer(output, {"home": str(home.root), **endpoint.as_json()}, text)


def _print_line(process: str, line: str, output: Output, *, alone: bool = False) -> None:
    from ops.local import logs as files

    if output is Output.JSON:
        streams.print_json_line({"process": process, "line": line})
    else:
        typer.echo(files.pretty(line) if alone else f"{process:18} {files.pretty(line)}")


def _locate(home: Path | None) -> "Home":
    from ops.local.home import Home

    return Home.locate(home, os.environ)


def _answer(output: Output, value: dict[str, Any], text: str) -> None:
    if output is Output.JSON:
        streams.print_json(value)
    else:
        typer.echo(text)
