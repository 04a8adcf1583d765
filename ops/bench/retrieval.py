"""How often the memories that answer a question are among the first that a search returns.

The LoCoMo file goes through the platform, one memory a turn; its questions are asked as `reverie search` asks
them. A returned neighbour would take a place in the list; none is asked for.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from ops.bench import locomo
from ops.bench.record import Record
from ops.bench.registry import CannotRunError, Options
from ops.bench.stage import say, stage, until_analysed
from ops.cli.formats import locomo as turns
from ops.cli.formats.entry import Entry, Item
from reverie_client import Reverie

DEPTHS = (5, 10, 20)
_PREFIX = "locomo"
_AT_ONCE = 4
_ANALYSED_WITHIN = timedelta(minutes=20)


async def run(options: Options) -> Record:
    """Takes the file in, waits until analysis is through, asks. CannotRunError without the file."""
    path = locomo.dataset_path(options.dataset)
    if path is None:
        raise CannotRunError("the LoCoMo file is not there: name it with --dataset or $REVERIE_LOCOMO")
    async with stage(options) as place:
        taken_in = await _take_in(place.reverie, path)
        await until_analysed(map(place.reverie.user, taken_in), _ANALYSED_WITHIN)
        say("analysis is through")
        questions = locomo.questions(path)
        say(f"asking {len(questions)} questions")
        ranks = await _ask_all(place.reverie, questions, taken_in)
    results = {"memories": sum(map(len, taken_in.values())), "embedder": options.embedder}
    return Record("retrieval", results | _shares(questions, ranks), zones=place.zones)


TakenIn = dict[str, dict[UUID, str]]
"""For each user: which turn a memory is."""


async def _take_in(reverie: Reverie, path: Path) -> TakenIn:
    users = list(turns.conversations(path, _PREFIX))
    say(f"taking in the conversations of {len(users)} users")
    return {user: await _take_in_user(reverie, user, entries) for user, entries in users}


async def _take_in_user(reverie: Reverie, user: str, entries: Sequence[Entry]) -> dict[UUID, str]:
    items = [entry for entry in entries if isinstance(entry, Item)]
    known: dict[UUID, str] = {}
    outcomes = reverie.user(user).create_all(item.new for item in items)
    at = 0
    async for outcome in outcomes:
        if outcome.created is None:
            raise CannotRunError(f"{items[at].where} was refused: {outcome.error}")
        known[outcome.created.id] = items[at].source_id
        at += 1
    return known


async def _ask_all(
    reverie: Reverie, questions: Sequence[locomo.Question], taken_in: TakenIn
) -> list[list[int | None]]:
    """For each question: the rank, from 1, of each of its evidence turns; None where it was not returned."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def ask(question: locomo.Question) -> list[int | None]:
        user = turns.user_of(_PREFIX, question.sample)
        async with room:
            hits = await reverie.user(user).search(question.text, limit=max(DEPTHS))
        returned = {taken_in[user][hit.memory.id]: rank for rank, hit in enumerate(hits, start=1)}
        return [returned.get(turn) for turn in sorted(question.evidence)]

    return list(await asyncio.gather(*map(ask, questions)))


def _shares(questions: Sequence[locomo.Question], ranks: Sequence[Sequence[int | None]]) -> dict[str, Any]:
    names = locomo.CATEGORIES
    by_category = {
        f"{number} {name}": _found([r for q, r in zip(questions, ranks, strict=True) if q.category == number])
        for number, name in names.items()
    }
    return {"questions": len(questions), **_found(ranks), "by_category": by_category}


def _found(ranks: Sequence[Sequence[int | None]]) -> dict[str, float]:
    """The shares of questions, in percent, with any and with all of their turns among the first."""
    return {
        f"{name}_at_{depth}": _percent(quantifier(r is not None and r <= depth for r in of) for of in ranks)
        for name, quantifier in (("any", any), ("all", all))
        for depth in DEPTHS
    }


def _percent(outcomes: Iterable[bool]) -> float:
    counted = list(outcomes)
    return round(100 * sum(counted) / len(counted), 2) if counted else 0.0
