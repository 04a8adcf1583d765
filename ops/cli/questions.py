"""What the reading commands ask the platform. One connection each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ops.cli import clock
from ops.cli.connecting import connected
from ops.cli.failures import COULD_NOT_RUN, CommandError, checked
from reverie_client import Filter, Hit, Kind, LeapDay, Memory


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What `--since`, `--until` and the filters let pass."""

    since: datetime | None
    until: datetime | None
    only: Filter

    @staticmethod
    def typed(
        since: str | None,
        until: str | None,
        kinds: Sequence[str] | None,
        labels: Sequence[str] | None,
        people: Sequence[str] | None,
        speaker: str,
        conversation: str,
    ) -> "Narrowing":
        """Of what a person typed. CommandError for a time that is none."""
        only = Filter([Kind(kind) for kind in kinds or ()], labels or (), people or (), speaker, conversation)
        zone = clock.local_zone()
        beginning = checked("--since", clock.beginning, since, zone)
        return Narrowing(beginning, checked("--until", clock.end, until, zone), only)


def get(home: Path | None, user: str, memory: str) -> Memory:
    """One memory, by id or full name."""

    its_user = user_of(memory, user)

    async def ask() -> Memory:
        async with connected(home) as reverie:
            return await reverie.user(its_user).get(memory)

    return asyncio.run(ask())


def search(
    home: Path | None,
    user: str,
    query: str,
    narrowing: Narrowing,
    limit: int,
    neighbours: tuple[int, int],
    *,
    explain: bool,
) -> list[Hit]:
    """The hits of a question, with so many neighbours before and after each."""

    async def ask() -> list[Hit]:
        async with connected(home) as reverie:
            return await reverie.user(user).search(
                query,
                since=narrowing.since,
                until=narrowing.until,
                only=narrowing.only,
                limit=limit,
                neighbors_before=neighbours[0],
                neighbors_after=neighbours[1],
                explain=explain,
            )

    return asyncio.run(ask())


def timeline(
    home: Path | None, user: str, narrowing: Narrowing, limit: int, *, oldest_first: bool
) -> list[Memory]:
    """A stretch of the timeline."""

    async def ask() -> list[Memory]:
        async with connected(home) as reverie:
            return await reverie.user(user).timeline(
                since=narrowing.since,
                until=narrowing.until,
                only=narrowing.only,
                oldest_first=oldest_first,
                limit=limit,
            )

    return asyncio.run(ask())


def on_this_day(home: Path | None, user: str, on: str | None, leap_day: str, limit: int) -> list[Memory]:
    """What happened on a day, as 2026-02-28; None: today by this machine's clock."""
    try:
        day = clock.day(on, clock.local_zone())
    except ValueError:
        raise CommandError(f"--on: {on!r} is no day: write it as 2026-02-28", code=COULD_NOT_RUN) from None

    async def ask() -> list[Memory]:
        async with connected(home) as reverie:
            return await reverie.user(user).on_this_day(day, leap_day=LeapDay(leap_day), limit=limit)

    return asyncio.run(ask())


def user_of(memory: str, user: str) -> str:
    """The user of a full name, else the one that was named. CommandError for what is no id at all."""
    from uuid import UUID

    prefix, _, memory_id = memory.rpartition("/memories/")
    try:
        UUID(memory_id)
    except ValueError:
        raise CommandError(
            f"{memory!r} is no id: it is a UUID, or users/…/memories/…; `reverie timeline` shows ids",
            code=COULD_NOT_RUN,
        ) from None
    return prefix.removeprefix("users/") or user
