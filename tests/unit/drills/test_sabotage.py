"""What a saboteur chooses, with a database that a test holds in a dictionary."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from ops.drills.journal import Journal, Kind, Outcome
from ops.drills.sabotage import Sabotage, Saboteur

FIRST, SECOND = UUID(int=1), UUID(int=2)


class Rows:
    """A connection to texts by id; whoever reads them all gets them as they are."""

    def __init__(self, texts: dict[UUID, str]) -> None:
        self.texts = texts
        self.put_back = asyncio.Event()
        self.changed: list[tuple[UUID, str]] = []

    async def fetch(self, _sql: str, _owner: UUID) -> list[dict[str, Any]]:
        return [{"id": id_, "text": text} for id_, text in self.texts.items()]

    async def fetchrow(self, _sql: str, _owner: UUID, id_: UUID) -> dict[str, Any]:
        return {"text": self.texts[id_], "revision": 1}

    async def execute(self, _sql: str, _owner: UUID, id_: UUID | None = None, text: str = "", *_: int) -> str:
        if id_ is not None:
            self.texts[id_] = text
            self.changed.append((id_, text))
            self.put_back.set()
        return "UPDATE 1"

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield


def acknowledged(journal: Journal, id_: UUID, kind: Kind) -> None:
    journal.end(journal.begin("ana", id_, kind, b"digest", "mark", 0.0), Outcome.OK, 0.0)


async def test_an_update_whose_answer_came_late_is_not_taken_for_one_that_can_be_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal, rows = Journal(), Rows({FIRST: "already new", SECOND: "old"})

    @contextlib.asynccontextmanager
    async def connected(_platform: object) -> AsyncIterator[Rows]:
        yield rows

    monkeypatch.setattr("ops.drills.database.connected", connected)
    platform: Any = SimpleNamespace(home=SimpleNamespace(tenant=lambda: UUID(int=9)))
    for id_ in (FIRST, SECOND):
        acknowledged(journal, id_, Kind.CREATE)
    damaging = asyncio.create_task(Saboteur(platform, journal).damage(Sabotage.STALE))
    await asyncio.sleep(0)  # it has read what is there
    await asyncio.sleep(0)
    acknowledged(journal, FIRST, Kind.UPDATE)
    rows.texts[SECOND] = "new"
    acknowledged(journal, SECOND, Kind.UPDATE)
    await rows.put_back.wait()
    for _ in range(5):
        journal.saw(SECOND, journal.promised(SECOND), b"digest", 0.0)
    await damaging
    assert rows.changed == [(SECOND, "old"), (SECOND, "new")]
