"""add, update, delete."""

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import (
    DEFAULT_USER,
    HomeOption,
    KindName,
    MemoryArgument,
    Output,
    OutputOption,
    UserOption,
)

if TYPE_CHECKING:
    from reverie_client import Memory

At = Annotated[
    str | None,
    typer.Option(
        "--at", help="When it happened: 2024, 2024-03, 2024-03-09 or an instant.", show_default=False
    ),
]
Ended = Annotated[
    str | None, typer.Option("--ended", help="When it was over, as an instant.", show_default=False)
]
PlaceName = Annotated[str | None, typer.Option("--place", help="Where it happened.", show_default=False)]
Latitude = Annotated[float | None, typer.Option(help="Degrees north of the place.", show_default=False)]
Longitude = Annotated[float | None, typer.Option(help="Degrees east of the place.", show_default=False)]
People = Annotated[
    list[str] | None, typer.Option("--person", help="Who was there; may be repeated.", show_default=False)
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="A word to find it by; may be repeated.", show_default=False),
]
Language = Annotated[
    str | None, typer.Option(help="The text's language, as en or pt-PT.", show_default=False)
]
Etag = Annotated[
    str | None,
    typer.Option(
        help="Only in this state, which `get` shows; else in whatever state it is.", show_default=False
    ),
]


def add(
    *,
    text: Annotated[str, typer.Argument(help="What to remember.")],
    user: UserOption = DEFAULT_USER,
    at: At = None,
    ended: Ended = None,
    kind: Annotated[KindName, typer.Option(help="What sort of thing it is.")] = KindName.NOTE,
    place: PlaceName = None,
    latitude: Latitude = None,
    longitude: Longitude = None,
    person: People = None,
    label: Labels = None,
    language: Language = None,
    conversation: Annotated[
        str | None, typer.Option(help="The conversation it is from.", show_default=False)
    ] = None,
    speaker: Annotated[str, typer.Option(help="Who said it there.", show_default=False)] = "",
    position: Annotated[int, typer.Option(min=0, help="Its place in the conversation.")] = 0,
    memory_id: Annotated[
        str | None, typer.Option("--id", help="Its id, a UUID of version 7 or 8.", show_default=False)
    ] = None,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Remember something. Without --at it happened now."""
    from ops.cli import changes

    typed = changes.Typed(
        at, ended, place, latitude, longitude, person, label, language, conversation, speaker, position
    )
    _print(changes.add(home, user, text, kind.value, memory_id, typed), output)


def update(
    *,
    memory: MemoryArgument,
    user: UserOption = DEFAULT_USER,
    text: Annotated[str | None, typer.Option(help="What it says from now on.", show_default=False)] = None,
    at: At = None,
    ended: Ended = None,
    place: PlaceName = None,
    latitude: Latitude = None,
    longitude: Longitude = None,
    person: People = None,
    label: Labels = None,
    language: Language = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            help="Take away: ended, place, people, labels, language or attachments; may be repeated.",
            show_default=False,
        ),
    ] = None,
    etag: Etag = None,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Change a memory. People and labels that are given replace those it had."""
    from ops.cli import changes

    typed = changes.Typed(at, ended, place, latitude, longitude, person, label, language)
    _print(changes.update(home, user, memory, text, typed, clear or (), etag), output)


def delete(
    *,
    memory: MemoryArgument,
    user: UserOption = DEFAULT_USER,
    etag: Etag = None,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Delete a memory for good: its content and all that was found in it."""
    from ops.cli import changes, streams

    name = changes.delete(home, user, memory, etag)
    if output is Output.JSON:
        streams.print_json({"deleted": name})
    else:
        typer.echo(f"deleted {name}")


def _print(memory: "Memory", output: Output) -> None:
    from ops.cli import memory_json, printing, streams

    if output is Output.JSON:
        streams.print_json(memory_json.memory_json(memory))
    else:
        printing.print_memory(memory)
