"""Options that several commands share, so that they are called the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ops.local.embedders import Embedder

DEFAULT_USER = "me"


class Output(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"


class KindName(StrEnum):
    """What sort of thing a memory is."""

    NOTE = "note"
    MESSAGE = "message"
    PHOTO = "photo"
    EVENT = "event"


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="REVERIE_HOME",
        help="Directory of the platform; ~/.reverie if not given.",
        show_default=False,
    ),
]
UserOption = Annotated[str, typer.Option("--user", "-u", envvar="REVERIE_USER", help="Whose memories.")]
OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="Print a table, or JSON and nothing else.", case_sensitive=False),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Where applications call; 0: as last time if that is free, else any free one.",
        show_default="as last time, at first 8443",
    ),
]
OperatorPortOption = Annotated[
    int | None,
    typer.Option(
        "--operator-port",
        min=0,
        max=65535,
        help="Where operators call; 0: as for --port.",
        show_default="as last time, at first 8444",
    ),
]
EmbedderOption = Annotated[
    Embedder, typer.Option("--embedder", help="minilm answers better, static is faster.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]
FullOption = Annotated[bool, typer.Option("--full", help="Print whole texts.")]

SinceOption = Annotated[
    str | None,
    typer.Option(help="Only from then on: 2025, 2025-03, 2025-03-09 or an instant.", show_default=False),
]
UntilOption = Annotated[
    str | None, typer.Option(help="Only until then, that day, month or year included.", show_default=False)
]
KindFilter = Annotated[
    list[KindName] | None,
    typer.Option("--kind", help="Only of this kind; may be repeated.", show_default=False),
]
LabelFilter = Annotated[
    list[str] | None,
    typer.Option("--label", help="Only with this label; may be repeated.", show_default=False),
]
PersonFilter = Annotated[
    list[str] | None,
    typer.Option("--person", help="Only with this person; may be repeated.", show_default=False),
]
SpeakerFilter = Annotated[
    str, typer.Option("--speaker", help="Only said by this speaker.", show_default=False)
]
ConversationFilter = Annotated[
    str, typer.Option("--conversation", help="Only from this conversation.", show_default=False)
]

MemoryArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Its id, or its full name users/…/memories/….")
]
