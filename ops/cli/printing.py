"""Writes answers as tables for people."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.cli.clock import shown
from reverie_client import Explanation, Hit, Memory

SHORT = 240
"""Characters of a text that are shown where nobody asked for all of it."""
DIM = "bright_black"
"""The style of what matters less."""


def console() -> Console:
    """Where tables go. Made anew each time: standard output may have been replaced."""
    return Console(highlight=False)


def progress_console() -> Console:
    """Where progress goes."""
    return Console(stderr=True, highlight=False)


def print_memories(memories: Sequence[Memory], *, full: bool) -> None:
    """A timeline."""
    table = _borderless()
    for memory in memories:
        table.add_row(when(memory), said(memory, full=full))
    console().print(table)


def print_hits(hits: Sequence[Hit], *, full: bool) -> None:
    """Hits, best first, with neighbours and reasons if there are any."""
    table = _borderless(ranks=True)
    for rank, hit in enumerate(hits, 1):
        for neighbour in hit.before:
            table.add_row("", Text(when(neighbour), DIM), Text(said(neighbour, full=full).plain, DIM))
        table.add_row(str(rank), when(hit.memory), _hit_text(hit, full=full))
        for neighbour in hit.after:
            table.add_row("", Text(when(neighbour), DIM), Text(said(neighbour, full=full).plain, DIM))
    console().print(table)


def print_memory(memory: Memory) -> None:
    """Everything about one memory."""
    table = _borderless()
    for name, value in _details(memory):
        table.add_row(Text(name, DIM), Text(value))
    console().print(table)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table of plain values."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if value is None else str(value)) for value in row))
    console().print(table)


def when(memory: Memory) -> str:
    """When it happened, in its own time."""
    return shown(memory.occurred)


def said(memory: Memory, *, full: bool) -> Text:
    """What it says, who said it, and below that what it can be told by."""
    text = spoken(memory, memory.text if full else shortened(memory.text, SHORT))
    return text.append(f"\n{_about(memory)}", DIM)


def spoken(memory: Memory, text: str) -> Text:
    """A text of that memory, behind whoever said it."""
    speaker = memory.source.speaker if memory.source else ""
    return Text(f"{speaker}: " if speaker else "", "bold").append(text, "default")


def shortened(text: str, length: int) -> str:
    """On one line, and cut at a word with an ellipsis if it is longer."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    cut = line[: length - 1]
    if line[length - 1].isalnum():
        cut = cut.rpartition(" ")[0] or cut
    return cut.rstrip(",;:.- ") + "…"


def reasons(why: Explanation, room: int | None = None) -> str:
    """Why a hit is there, in a line: what adds to its score, most first, and as much as there is room for."""
    words = f"words ({', '.join(why.matched_words)})" if why.matched_words else "words"
    parts = {
        words: why.words_score,
        "meaning": why.meaning_score,
        "speaker": why.speaker_score,
        "time": why.time_score,
        "a question itself": why.prior_score,
    }
    ordered = sorted(parts.items(), key=lambda part: -abs(part[1]))
    told = [f"{score:+.1f} {name}" for name, score in ordered if abs(score) >= 0.05]
    while room is not None and len(told) > 1 and len(" ".join(told)) > room:
        told.pop()
    line = " ".join(told)
    return line if room is None else shortened(line, room)


def _hit_text(hit: Hit, *, full: bool) -> Text:
    text = said(hit.memory, full=full)
    return text if hit.explanation is None else text.append(f"\n{reasons(hit.explanation)}", "cyan")


def _about(memory: Memory) -> str:
    place = memory.place.name if memory.place else ""
    labels = " ".join(f"#{label}" for label in memory.labels)
    return " · ".join(filter(None, (str(memory.id), place, ", ".join(memory.people), labels)))


def _details(memory: Memory) -> Iterable[tuple[str, str]]:
    at, until, place, source = memory.occurred_at, memory.occurred_until, memory.place, memory.source
    here = "" if place is None or place.latitude is None else f" ({place.latitude}, {place.longitude})"
    found = [f"{r.stage} ({r.model})" for r in memory.analysis]
    fields = {
        "id": str(memory.id),
        "when": f"{when(memory)} ({at:UTC%z})".replace("+0000", ""),
        "until": f"{until:%Y-%m-%d %H:%M}" if until else "",
        "kind": memory.kind.value,
        "text": memory.text,
        "place": f"{place.name}{here}" if place else "",
        "people": ", ".join(memory.people),
        "labels": ", ".join(memory.labels),
        "from": f"{source.conversation}, {source.speaker}, {source.position}" if source else "",
        "language": memory.language,
        "attachments": ", ".join(attachment.object for attachment in memory.attachments),
        "analysed": ", ".join(found) or "not yet",
        "created": f"{memory.create_time:%Y-%m-%d %H:%M:%S} UTC",
        "updated": f"{memory.update_time:%Y-%m-%d %H:%M:%S} UTC" if memory.update_time else "",
        "etag": memory.etag,
    }
    return ((name, value) for name, value in fields.items() if value)


def _borderless(*, ranks: bool = False) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    if ranks:
        table.add_column(justify="right", style=DIM, no_wrap=True)
    table.add_column(style="green", no_wrap=True)
    table.add_column(overflow="fold")
    return table
