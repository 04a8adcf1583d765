"""What the operators' commands ask the platform."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ops.cli.connecting import located, operating
from ops.cli.failures import COULD_NOT_RUN, FAILED, CommandError
from ops.cli.memory_json import seconds_json
from reverie_client.operator import DeadLetter, Operator, QueueStats

_Value = TypeVar("_Value")


def stats(home: Path | None) -> QueueStats:
    """The counts of the queue."""
    return _ask(home, lambda operator: operator.queue_stats())


def letters(home: Path | None, user: str | None, limit: int | None) -> list[DeadLetter]:
    """Dead letters, of one user of the home's tenant or of all."""
    owner = f"tenants/{located(home).tenant()}/users/{user}" if user else ""

    async def ask(operator: Operator) -> list[DeadLetter]:
        return await operator.dead_letters(owner, limit=limit)

    return _ask(home, ask)


def named(home: Path | None, name: str) -> list[DeadLetter]:
    """The dead letters of that name, or of that memory. CommandError if there is none."""
    found = [
        letter for letter in letters(home, None, None) if letter.name == name or f"/{name}/" in letter.name
    ]
    if not found:
        raise CommandError(f"no dead letter {name!r}: `reverie dlq list` shows those there are", code=FAILED)
    return found


def replay(home: Path | None, names: Sequence[str], *, everything: bool) -> int:
    """Makes dead letters due again: how many are."""
    if bool(names) == everything:
        raise CommandError("name dead letters, or say --all", code=COULD_NOT_RUN)

    async def ask(operator: Operator) -> int:
        return await (operator.replay_all() if everything else operator.replay(names))

    return _ask(home, ask)


def stats_json(stats: QueueStats) -> dict[str, Any]:
    """For `-o json`."""
    return {
        "due": stats.due,
        "dead": stats.dead,
        "oldest_due_seconds": seconds_json(stats.oldest_due_age),
        "stages": [
            {
                "stage": each.stage,
                "model": each.model,
                "ready": each.ready,
                "waiting": each.waiting,
                "dead": each.dead,
                "oldest_due_seconds": seconds_json(each.oldest_due_age),
            }
            for each in stats.stages
        ],
    }


def stats_rows(stats: QueueStats) -> Iterator[Sequence[object]]:
    """For a table."""
    for each in stats.stages:
        age = "" if each.oldest_due_age is None else f"{each.oldest_due_age.total_seconds():.1f} s"
        yield each.stage, each.model, each.ready, each.waiting, each.dead, age


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """For `-o json`."""
    return {
        "name": letter.name,
        "attempts": letter.attempts,
        "first_error": letter.first_error,
        "last_error": letter.last_error,
        "due_time": letter.due_time.isoformat(),
        "dead_time": letter.dead_time.isoformat(),
    }


def letter_row(letter: DeadLetter) -> Sequence[object]:
    """For a table."""
    return letter.name, letter.attempts, f"{letter.dead_time:%Y-%m-%d %H:%M}", letter.last_error


def _ask(home: Path | None, question: Callable[[Operator], Awaitable[_Value]]) -> _Value:
    async def ask() -> _Value:
        async with operating(home) as operator:
            return await question(operator)

    return asyncio.run(ask())
