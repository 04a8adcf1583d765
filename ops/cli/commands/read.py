"""get, search, timeline, on-this-day."""

from enum import StrEnum
from typing import Annotated

import typer

from ops.cli.options import (
    DEFAULT_USER,
    ConversationFilter,
    FullOption,
    HomeOption,
    KindFilter,
    LabelFilter,
    LimitOption,
    MemoryArgument,
    Output,
    OutputOption,
    PersonFilter,
    SinceOption,
    SpeakerFilter,
    UntilOption,
    UserOption,
)


class LeapDayName(StrEnum):
    """Where 29 February goes in a year without one."""

    FEBRUARY_28 = "february-28"
    MARCH_1 = "march-1"
    STRICT = "strict"


# A search ranks no more, as query.proto says: a higher number would be cut without a word.
HitsOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many at most.")]
Before = Annotated[int, typer.Option(min=0, max=10, help="So many before each, in its conversation.")]
After = Annotated[int, typer.Option(min=0, max=10, help="So many after each, in its conversation.")]


def get(
    *,
    memory: MemoryArgument,
    user: UserOption = DEFAULT_USER,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Show one memory, with what analysis found in it."""
    from ops.cli import memory_json, printing, questions, streams

    found = questions.get(home, user, memory)
    if output is Output.JSON:
        streams.print_json(memory_json.memory_json(found))
    else:
        printing.print_memory(found)


def search(
    *,
    query: Annotated[str, typer.Argument(help="The question, as a person would ask it.")],
    user: UserOption = DEFAULT_USER,
    limit: HitsOption = 20,
    since: SinceOption = None,
    until: UntilOption = None,
    kind: KindFilter = None,
    label: LabelFilter = None,
    person: PersonFilter = None,
    speaker: SpeakerFilter = "",
    conversation: ConversationFilter = "",
    before: Before = 0,
    after: After = 0,
    why: Annotated[bool, typer.Option("--why", help="Say why each memory is there.")] = False,
    full: FullOption = False,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Find the memories that answer a question, best first."""
    from ops.cli import memory_json, printing, questions, streams

    narrowing = questions.Narrowing.typed(since, until, kind, label, person, speaker, conversation)
    hits = questions.search(home, user, query, narrowing, limit, (before, after), explain=why)
    if output is Output.JSON:
        streams.print_json({"hits": [memory_json.hit_json(hit) for hit in hits]})
    elif hits:
        printing.print_hits(hits, full=full)
    else:
        streams.say(f"nothing of {user} answers that")


def timeline(
    *,
    user: UserOption = DEFAULT_USER,
    limit: LimitOption = 50,
    since: SinceOption = None,
    until: UntilOption = None,
    kind: KindFilter = None,
    label: LabelFilter = None,
    person: PersonFilter = None,
    speaker: SpeakerFilter = "",
    conversation: ConversationFilter = "",
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest.")] = False,
    full: FullOption = False,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """List memories by when they happened, the newest first."""
    from ops.cli import memory_json, printing, questions, streams

    narrowing = questions.Narrowing.typed(since, until, kind, label, person, speaker, conversation)
    memories = questions.timeline(home, user, narrowing, limit, oldest_first=oldest_first)
    if output is Output.JSON:
        streams.print_json({"memories": [memory_json.memory_json(memory) for memory in memories]})
    elif memories:
        printing.print_memories(memories, full=full)
    else:
        streams.say(f"{user} has no such memories: `reverie add` or `reverie import` makes some")


def on_this_day(
    *,
    user: UserOption = DEFAULT_USER,
    on: Annotated[
        str | None, typer.Option(help="The day, as 2026-02-28; today if not given.", show_default=False)
    ] = None,
    leap_day: Annotated[
        LeapDayName, typer.Option(help="Where 29 February goes in a year without one.")
    ] = LeapDayName.FEBRUARY_28,
    limit: LimitOption = 50,
    full: FullOption = False,
    output: OutputOption = Output.TABLE,
    home: HomeOption = None,
) -> None:
    """Show what happened on this day in earlier years."""
    from ops.cli import memory_json, printing, questions, streams

    memories = questions.on_this_day(home, user, on, leap_day.value, limit)
    if output is Output.JSON:
        streams.print_json({"memories": [memory_json.memory_json(memory) for memory in memories]})
    elif memories:
        printing.print_memories(memories, full=full)
    else:
        streams.say(f"nothing happened to {user} on this day")
