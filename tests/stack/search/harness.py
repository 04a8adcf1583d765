"""Search over a real database, called as the server calls it, with memories as ingest makes them."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np

from reverie.memory.v1 import memory_pb2
from reverie.storage.v1 import analysis_pb2, search_pb2, write_pb2
from services.ingest.content import fill
from services.runtime import names
from services.runtime.terms import question_terms
from services.storage.database import Database
from services.storage.search import SearchService
from services.storage.segments import SegmentCache, Segments
from tests.stack.servers import until
from tests.stack.storage.harness import (
    DIMENSIONS,
    MODEL,
    Context,
    Operation,
    Storage,
    context,
    enter,
    memory,
    new_id,
    owner_of,
)


class Search:
    """One search service with a cache of its own."""

    def __init__(self, database: Database, storage: Storage, *, loads: bool = True, mib: int = 64) -> None:
        self.digests: dict[str, bytes] = {}
        self.cache = SegmentCache(mib * 1024 * 1024)
        self._end = asyncio.Event()
        self._segments = Segments(
            database.search, self.cache, pause=_at_once if loads else lambda _: self._end.wait()
        )
        self.service = SearchService(database.read, self._segments, storage.tokens)

    async def close(self) -> None:
        """Ends what goes on in the background."""
        self.cache.drop()
        self._end.set()
        await self._segments.settled()

    async def raw(
        self, user: str, token: str | None = None, **fields: Any
    ) -> tuple[search_pb2.SearchResponse, Context]:
        """Sends a request as it is."""
        enter(user, token)
        call = Context()
        request = search_pb2.SearchRequest(parent=names.user_name(user), **{"page_size": 20, **fields})
        return await self.service.Search(request, context(call)), call

    async def ask(
        self,
        user: str,
        text: str = "",
        vector: bytes = b"",
        speakers: Sequence[str] = (),
        *,
        times: Sequence[dict[str, int]] = (),
        asks_for_time: bool = False,
        **fields: Any,
    ) -> search_pb2.SearchResponse:
        """Asks as query does: with the owner's speakers, asking again when they were others."""
        question = search_pb2.Question(
            terms=[term.hash for term in question_terms(text)],
            vector=vector,
            model=MODEL,
            speakers=speakers,
            times=times,
            asks_for_time=asks_for_time,
            analyzer=1,
        )
        for _ in range(2):
            digest = self.digests.get(user, b"")
            response, _call = await self.raw(user, question=question, speakers_digest=digest, **fields)
            if not response.HasField("speakers"):
                return response
            self.digests[user] = response.speakers.digest
        raise AssertionError("the speakers changed under the question")

    async def warm(self, user: str) -> None:
        """Waits until the owner's vectors are in memory."""
        await self.ask(user, "anything")

        async def loaded() -> bool:
            await asyncio.sleep(0)
            return self.cache.entry(owner_of(user)).has_vectors

        await until(loaded, f"the vectors of {user} are in memory", every=0.002)


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


def create(user: str, text: str, at: int = 0, id_: UUID | None = None, **fields: Any) -> Operation:
    """A create with the terms and traits of its text."""
    of = memory(text, at, **fields)
    fingerprint = of.SerializeToString(deterministic=True)[-32:].ljust(32, b"\0")
    return Operation(user, id_ or new_id(), {"create": {"content": _content(of), "fingerprint": fingerprint}})


def update(user: str, id_: UUID, revision: int, text: str, at: int = 0, **fields: Any) -> Operation:
    """An update with the terms and traits of its text."""
    change = {"content": _content(memory(text, at, **fields)), "from_revision": revision}
    return Operation(user, id_, {"update": change})


def turn(conversation: str, position: int, speaker: str = "") -> memory_pb2.Source:
    """Where a turn of a conversation comes from."""
    return memory_pb2.Source(conversation=conversation, speaker=speaker, position=position)


def unit(numbers: np.ndarray[Any, Any]) -> bytes:
    """A vector of length 1."""
    return bytes((numbers / np.linalg.norm(numbers)).astype("<f4").tobytes())


def axis(number: int) -> bytes:
    """The vector along one axis."""
    return unit(np.eye(DIMENSIONS)[number])


async def attach(storage: Storage, due: analysis_pb2.DueAnalysis, vector: bytes) -> int:
    """Attaches a vector to a claimed analysis."""
    return await storage.attach(due, vector=vector)


async def attach_all(storage: Storage, vector: bytes | None = None) -> None:
    """Analyses everything that is due: each with the vector, or along an axis by its id."""
    while due := await storage.claim():
        for one in due:
            await storage.attach(one, vector=vector or axis(one.key.id[-1] % DIMENSIONS))


def texts(hits: Sequence[search_pb2.RankedHit]) -> list[str]:
    """What the hits say."""
    return [hit.memory.text for hit in hits]


def _content(of: memory_pb2.Memory) -> write_pb2.Content:
    content = write_pb2.Content()
    fill(content, of)
    return content
