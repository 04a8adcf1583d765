"""Reads back everything that users have, when all is over."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from ops.drills.checker import Seen
from ops.drills.journal import Journal, digest_of, mark_of
from reverie_client import Memory, User

WITHIN = timedelta(seconds=30)
_AT_ONCE = 200
"""How many memories one call may name."""


async def what_is_there(users: Iterable[User], journal: Journal) -> list[Seen]:
    """Everything that their timelines show, and what their deleted memories show when asked for by name.

    Each user must be caught up with all that was acknowledged. Raises ReverieError if that can't be read.
    """
    found = await asyncio.gather(*(_of(user, journal) for user in users))
    return [seen for of_user in found for seen in of_user]


async def _of(user: User, journal: Journal) -> list[Seen]:
    listed = [seen_by(user, memory) async for memory in user.timeline(within=WITHIN)]
    known = {seen.id for seen in listed}
    hidden = [history.id for history in journal.of(user.user_id) if history.id not in known]
    for names in _in_calls(hidden):
        by_name = await user.get_many(names, within=WITHIN)
        listed += [seen_by(user, memory) for memory in by_name.memories]
    return listed


def seen_by(user: User, memory: Memory) -> Seen:
    """A memory as a user sees it."""
    return Seen(user.user_id, memory.id, mark_of(memory.message), digest_of(memory.message))


def _in_calls(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
