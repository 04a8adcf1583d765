"""What `reverie demo` does and shows. Typed again, it only does what is missing."""

import asyncio
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.cli import importer, memory_json, printing, start_failures, status_table, streams
from ops.cli.connecting import connected
from ops.cli.failures import COULD_NOT_RUN, CommandError
from ops.cli.tally import Report
from ops.local import observe
from ops.local.home import Endpoint, Home
from ops.local.plan import Options
from ops.local.platform import Platform
from ops.local.status import Status
from reverie_client import Hit, Memory, Reverie

USER = "ines"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
QUESTIONS = (
    "Why did we postpone the trip to Japan?",
    "When did I start the Japanese course?",
    "How many eggs go into the orange cake?",
    "Who left the white camellias at the funeral?",
    "Why did I give up pottery?",
)
DAY = datetime(2026, 2, 28, 12, tzinfo=UTC)
"""The last day of the file: 29 February comes round on it."""
_LAST_QUESTION = "Who fixed the boiler?"
_ANSWERS = 2
_DATE = len("30 Sep 2025 18:20")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+")
_WHY = Text("why", printing.DIM, justify="right")
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with the memories that answer it."""

    question: str
    hits: Sequence[Hit]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was done and seen. Durations in seconds."""

    home: Home
    start_seconds: float
    reports: Sequence[Report]
    answers: Sequence[Answer]
    memories: Sequence[Memory]
    """On this day."""
    status: Status
    seconds: float

    @property
    def is_well(self) -> bool:
        """Whether everything went in, every question has an answer, and the platform is healthy."""
        failed = any(report.failed for report in self.reports)
        return not failed and all(answer.hits for answer in self.answers) and self.status.is_well

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "home": str(self.home.root),
            "seconds": round(self.seconds, 3),
            "start_seconds": round(self.start_seconds, 3),
            "imports": [report.as_json() for report in self.reports],
            "answers": [
                {
                    "question": answer.question,
                    "milliseconds": round(answer.milliseconds, 1),
                    "hits": [memory_json.hit_json(hit) for hit in answer.hits],
                }
                for answer in self.answers
            ],
            "on_this_day": [memory_json.memory_json(memory) for memory in self.memories],
            "status": self.status.as_json(),
        }


def run(home: Path | None, port: int | None, operator_port: int | None) -> Demonstration:
    """Does it all. CommandError if the platform can't be started, or the examples are not there."""
    files = sorted(EXAMPLES.glob("*.jsonl"))
    if not files:
        raise CommandError(f"there are no examples in {EXAMPLES}: run it from a checkout", code=COULD_NOT_RUN)
    place = Home.locate(home, os.environ)
    with start_failures.told(place):
        return asyncio.run(_run(place, Options(port, operator_port), files))


async def _run(home: Home, options: Options, files: Sequence[Path]) -> Demonstration:
    began = time.monotonic()
    if not home.is_locked():
        streams.say("starting the platform")
        await Platform.start(home, options, report=streams.say)
    started = time.monotonic()
    async with connected(home.root) as reverie:
        reports = [await _take_in(reverie, file) for file in files]
        answers = [await _ask(reverie, question) for question in QUESTIONS]
        memories = await reverie.user(USER).on_this_day(DAY)
    status = await observe.look(home)
    return Demonstration(home, started - began, reports, answers, memories, status, time.monotonic() - began)


async def _take_in(reverie: Reverie, file: Path) -> Report:
    streams.say(f"taking in {file.name}, and waiting until it is analysed")
    source = importer.open_source(file, "jsonl", USER)
    return await importer.import_into(reverie, source, batch=_BATCH, wait=True)


async def _ask(reverie: Reverie, question: str) -> Answer:
    began = time.monotonic()
    hits = await reverie.user(USER).search(question, limit=_ANSWERS, explain=True)
    return Answer(question, hits, (time.monotonic() - began) * 1000)


def show(demonstration: Demonstration) -> None:
    """Prints it for a person."""
    console = printing.console()
    for report in demonstration.reports:
        for line in report.lines():
            console.print(line, markup=False, soft_wrap=True)
    for answer in demonstration.answers:
        _show_answer(console, answer)
    _show_day(console, demonstration.memories)
    console.print()
    status_table.show(demonstration.status, console)
    _show_end(console, demonstration)


def _show_answer(console: Console, answer: Answer) -> None:
    """The best memory whole, since the answer may be its last sentence; of the others what answers."""
    console.print()
    console.print(Text.assemble((answer.question, "bold"), (f"  {answer.milliseconds:.0f} ms", printing.DIM)))
    table = _table()
    for best in answer.hits[:1]:
        why = printing.reasons(best.explanation, _width(console)) if best.explanation else ""
        table.add_row(printing.when(best.memory), _whole(best))
        table.add_row(_WHY, Text(why, printing.DIM))
    for other in answer.hits[1:]:
        short = _in_short(console, other.memory, lines=2, about=_words(other))
        table.add_row(Text(printing.when(other.memory), printing.DIM), Text(short, printing.DIM))
    console.print(table)


def _whole(hit: Hit) -> Text:
    """All it says, the words of the question marked."""
    text = printing.spoken(hit.memory, hit.memory.text)
    if words := _words(hit):
        text.highlight_regex(_any_of(words), "bold yellow")
    return text


def _words(hit: Hit) -> Sequence[str]:
    return hit.explanation.matched_words if hit.explanation else ()


def _any_of(words: Sequence[str]) -> str:
    """Matches any of the words, and what they begin: they match by stem, so "postpone" is "postponed"."""
    return rf"(?i)\b(?:{'|'.join(map(re.escape, words))})\w*"


def _show_day(console: Console, memories: Sequence[Memory]) -> None:
    console.print()
    console.print(Text(f"On this day, {DAY:%-d} February {DAY.year}", "bold"))
    table = _table()
    for memory in memories:
        table.add_row(printing.when(memory), _in_short(console, memory, lines=2))
    console.print(table)


def _show_end(console: Console, demonstration: Demonstration) -> None:
    started = f" ({demonstration.start_seconds:.1f} s to start)" if demonstration.start_seconds > 1 else ""
    took = f"{demonstration.seconds:.1f} s{started}"
    console.print(f"\nall of it took {took}; the platform goes on running\n", markup=False)
    for line in next_steps(demonstration.home):
        console.print(line, markup=False, soft_wrap=True)


def next_steps(home: Home) -> list[str]:
    """What to type next, with this home's own addresses."""
    endpoint = home.endpoint()
    python = importer.as_typed(Path(sys.executable))
    reverie = "reverie" if shutil.which("reverie") else importer.as_typed(Path(sys.argv[0]))
    there = "" if home == Home.locate(None, os.environ) else f" --home {home.root}"
    return [
        "What to type next:",
        f'  {reverie} search --user {USER} "What colour did Pai paint the kitchen?" --why{there}',
        f"  {reverie} timeline --user {USER} --since 2025-10 --until 2025-10{there}",
        f'  {reverie} add --user {USER} "The lemon tree has its second flower."{there}',
        f"  {reverie} status{there}; {reverie} down{there}",
        "",
        f"From {python}, after `{reverie} token --user {USER}{there} > token`, by the client:",
        *client_snippet(endpoint),
        "",
        "And with the stubs alone, as in any language that has gRPC:",
        *stubs_snippet(endpoint),
    ]


def client_snippet(endpoint: Endpoint) -> list[str]:
    """A program that asks by the client, with its token in the file `token`."""
    return [
        "  import asyncio, pathlib, reverie_client",
        f"  ca, token = pathlib.Path({str(endpoint.ca)!r}), pathlib.Path('token')",
        "  async def main():",
        f"      async with reverie_client.connect({endpoint.public[0]!r}, ca=ca, token=token) as reverie:",
        f"          async for hit in reverie.user({USER!r}).search({_LAST_QUESTION!r}, limit=3):",
        "              print(hit.memory.occurred.isoformat(), hit.memory.text)",
        "  asyncio.run(main())",
    ]


def stubs_snippet(endpoint: Endpoint) -> list[str]:
    """The same by generated stubs."""
    return [
        "  import grpc, pathlib",
        "  from reverie.query.v1 import query_pb2, query_pb2_grpc",
        f"  ca, token = pathlib.Path({str(endpoint.ca)!r}).read_bytes(), pathlib.Path('token').read_text()",
        f"  channel = grpc.secure_channel({endpoint.public[0]!r}, grpc.ssl_channel_credentials(ca))",
        f"  question = query_pb2.SearchMemoriesRequest(parent='users/{USER}', query={_LAST_QUESTION!r})",
        "  stub = query_pb2_grpc.QueryServiceStub(channel)",
        "  print(stub.SearchMemories(question, metadata=[('authorization', f'Bearer {token.strip()}')]))",
    ]


def _in_short(console: Console, memory: Memory, *, lines: int, about: Sequence[str] = ()) -> str:
    """So many lines, from the first of the sentences that hold most of the words."""
    # Lines break at words, so each holds a little less than its width.
    room = lines * _width(console) - 8 * (lines - 1)
    text = excerpt(memory.text, about) if about else memory.text
    return printing.shortened(printing.spoken(memory, text).plain, room)


def excerpt(text: str, words: Sequence[str]) -> str:
    """The text from the sentence that holds most of the words, with an ellipsis for what is left out."""
    sentences = _SENTENCE_ENDS.split(text)
    found = [len(set(re.findall(_any_of(words), sentence.lower()))) for sentence in sentences]
    first = found.index(max(found))
    return ("… " if first else "") + " ".join(sentences[first:])


def _width(console: Console) -> int:
    """What is left of a line beside the longest date."""
    return max(20, console.width - _DATE - 2)


def _table() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="green", no_wrap=True, min_width=_DATE)
    table.add_column(overflow="fold")
    return table
