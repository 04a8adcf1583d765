"""Damages one thing in the database, behind the checker's back: each checker is checked.

A drill that was sabotaged must end in fail. The owner's revision rises with the damage, so that nothing that
was answered before can stand in for it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from ops.drills import database
from ops.drills.journal import History, Journal, Kind, Outcome
from ops.local.platform import Platform
from reverie_client import Ids
from services.runtime.clock import MonotonicClock, monotonic

if TYPE_CHECKING:
    import asyncpg

SHOWN_WITHIN = timedelta(seconds=10)
"""How long a stale state stays for readers to come across it."""
_ENOUGH_READS = 5
_PAUSE = 0.05

_LOSE = """
WITH due AS (DELETE FROM analysis_due WHERE owner = $1 AND id = $2)
DELETE FROM memories WHERE owner = $1 AND id = $2"""
_WRONG = "UPDATE memories SET text = text || ' Or so they say.' WHERE owner = $1 AND id = $2"
_TWICE = """
INSERT INTO memories SELECT (jsonb_populate_record(m, jsonb_build_object('id', $3::uuid))).*
FROM memories m WHERE owner = $1 AND id = $2"""
_RESURRECT = """
UPDATE memories m SET delete_time = NULL, occurred_at = o.occurred_at, occurred_offset = o.occurred_offset,
  occurred_precision = o.occurred_precision, local_day = o.local_day, kind = o.kind, traits = o.traits,
  analyzer = o.analyzer, fingerprint = o.fingerprint, terms = o.terms, text = o.text, position = o.position,
  conversation = o.conversation, speaker = o.speaker, language = o.language, labels = o.labels,
  people = o.people
FROM memories o WHERE m.owner = $1 AND m.id = $2 AND o.owner = $1 AND o.id = $3"""
_TEXTS = "SELECT id, text FROM memories WHERE owner = $1 AND delete_time IS NULL"
_PUT_BACK = "UPDATE memories SET text = $3 WHERE owner = $1 AND id = $2 AND revision = $4"
_ONE_ROW = "UPDATE 1"
_STATE = "SELECT text, revision FROM memories WHERE owner = $1 AND id = $2"
_RAISE = "UPDATE owners SET revision = revision + 1 WHERE owner = $1"


class Sabotage(StrEnum):
    """What is done."""

    LOSE = "lose"
    """A row is deleted."""
    TWICE = "twice"
    """A second row, under a new id, with the same source."""
    WRONG = "wrong"
    """A text is changed."""
    RESURRECT = "resurrect"
    """A deleted memory gets its content back."""
    STALE = "stale"
    """An acknowledged update is put back under load, and later restored."""


class NothingToDamageError(Exception):
    """Raised when a journal holds nothing that this kind of damage could be done to."""


@dataclass(frozen=True, slots=True)
class Saboteur:
    """Damages one thing that a journal knows of."""

    platform: Platform
    journal: Journal
    clock: MonotonicClock = monotonic

    async def damage(self, kind: Sabotage) -> str:
        """Does it, and says what was done. Nothing may be under way, but for `STALE`, which needs a load.

        Raises NothingToDamageError.
        """
        async with database.connected(self.platform) as connection:
            match kind:
                case Sabotage.LOSE:
                    return await self._to_one(connection, _LOSE, "its row is gone")
                case Sabotage.WRONG:
                    return await self._to_one(connection, _WRONG, "its text is another")
                case Sabotage.TWICE:
                    return await self._to_one(connection, _TWICE, "stands under a second id", Ids().mint())
                case Sabotage.RESURRECT:
                    return await self._resurrect(connection)
                case Sabotage.STALE:
                    return await self._put_back_a_while(connection)

    async def _to_one(
        self, connection: "asyncpg.Connection[asyncpg.Record]", sql: str, what: str, *arguments: object
    ) -> str:
        history = self._any(_is_there, "no memory is there for certain")
        await self._execute(connection, sql, history, *arguments)
        return f"{history.id} of {history.user}: {what}"

    async def _resurrect(self, connection: "asyncpg.Connection[asyncpg.Record]") -> str:
        dead = self._any(_is_deleted, "no deletion was acknowledged")
        donor = self._any(lambda one: one.user == dead.user and _is_there(one), f"{dead.user} has nothing")
        await self._execute(connection, _RESURRECT, dead, donor.id)
        return f"{dead.id} of {dead.user}: is there again, with the content of {donor.id}"

    async def _put_back_a_while(self, connection: "asyncpg.Connection[asyncpg.Record]") -> str:
        """Until some reads have asked for it, or a read has had the time to."""
        deadline = self.clock() + SHOWN_WITHIN.total_seconds()
        earlier = await self._texts(connection)
        history, now = await self._updated(connection, earlier, deadline)
        try:
            await self._asked_for(history, deadline)
        finally:
            # Where a client has changed it meanwhile, its change stands.
            await self._execute(connection, _PUT_BACK, history, now["text"], now["revision"])
        return f"{history.id} of {history.user}: was for a while as before its last update"

    async def _texts(self, connection: "asyncpg.Connection[asyncpg.Record]") -> dict[UUID, str]:
        """What everything says now, by its id."""
        users = {history.user for history in self.journal.histories.values()}
        rows = [
            row
            for user in users
            for row in await connection.fetch(_TEXTS, database.owner_of(self.platform, user))
        ]
        return {row["id"]: row["text"] for row in rows}

    async def _updated(
        self, connection: "asyncpg.Connection[asyncpg.Record]", earlier: dict[UUID, str], deadline: float
    ) -> "tuple[History, asyncpg.Record]":
        """A memory that was there before, once an update of it is acknowledged and put back; what it was."""
        places = {id_: history.promised for id_, history in self.journal.histories.items()}
        while self.clock() < deadline:
            for id_ in earlier.keys() & places.keys():
                history = self.journal.histories[id_]
                if history.promised > places[id_] and _is_updated(history):
                    now = await self._put_back(connection, history, earlier[id_])
                    if now is not None:
                        return history, now
            await asyncio.sleep(_PAUSE)
        raise NothingToDamageError("no update was acknowledged: is there a load?")

    async def _put_back(
        self, connection: "asyncpg.Connection[asyncpg.Record]", history: History, earlier: str
    ) -> "asyncpg.Record | None":
        """The state that was put back; None where that damages nothing, as readers would see no difference.

        The update may have been there already when we looked for what was earlier, and its answer under way;
        or the memory has changed again, or is gone.
        """
        now = await connection.fetchrow(_STATE, database.owner_of(self.platform, history.user), history.id)
        if now is None or now["text"] in {None, earlier}:
            return None
        done = await self._execute(connection, _PUT_BACK, history, earlier, now["revision"])
        return now if done == _ONE_ROW else None

    async def _asked_for(self, history: History, deadline: float) -> None:
        begun = len(self.journal.sightings)
        while self.clock() < deadline:
            asked = sum(one.id == history.id for one in self.journal.sightings[begun:])
            if asked >= _ENOUGH_READS:
                return
            await asyncio.sleep(_PAUSE)

    def _any(self, fits: Callable[[History], bool], otherwise: str) -> History:
        found = next((history for history in self.journal.histories.values() if fits(history)), None)
        if found is None:
            raise NothingToDamageError(otherwise)
        return found

    async def _execute(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        sql: str,
        history: History,
        *arguments: object,
    ) -> str:
        owner = database.owner_of(self.platform, history.user)
        async with connection.transaction():
            await connection.execute(_RAISE, owner)
            return await connection.execute(sql, owner, history.id, *arguments)


def _is_there(history: History) -> bool:
    """Whether an acknowledged state of it is there for certain."""
    last = history.operations[-1]
    return last.outcome is Outcome.OK and last.kind is not Kind.DELETE


def _is_updated(history: History) -> bool:
    last = history.operations[-1]
    return last.outcome is Outcome.OK and last.kind is Kind.UPDATE


def _is_deleted(history: History) -> bool:
    last = history.operations[-1]
    return last.outcome is Outcome.OK and last.kind is Kind.DELETE
