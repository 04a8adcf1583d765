"""StorageSearchService: ranks one owner's memories and returns them, all from one snapshot."""

import hmac
from typing import Any, NamedTuple
from uuid import UUID

import grpc
import structlog

from reverie.storage.v1 import search_pb2, search_pb2_grpc
from services.runtime import names, principal
from services.runtime.tokens import ConsistencyToken, Tokens
from services.storage import asked, days
from services.storage.analyses import DIMENSIONS
from services.storage.answering import Ahead, Around, Pending, bodies, confirm, found, put_hits
from services.storage.database import Pool
from services.storage.freshness import Freshness, State
from services.storage.ranking import Question
from services.storage.remaining import Hits, Remaining
from services.storage.segments import MovedError, Segments, View

Context = grpc.aio.ServicerContext[Any, Any]


class Caller(NamedTuple):
    """Whose memories are searched, and what the caller has seen of them."""

    user: str
    owner: UUID
    seen: ConsistencyToken | None


class SearchService(search_pb2_grpc.StorageSearchServiceServicer):
    """Searches inside one owner: that of the JWT which travels along."""

    def __init__(self, pool: Pool, segments: Segments, tokens: Tokens) -> None:
        self._pool = pool
        self._segments = segments
        self._tokens = tokens
        self._freshness = Freshness(pool, tokens)
        self._ahead = Ahead(pool)
        self._foreign_model = 0
        self._log = structlog.get_logger("search")

    async def Search(  # noqa: N802
        self, request: search_pb2.SearchRequest, context: Context
    ) -> search_pb2.SearchResponse:
        """Rank, or go on with an earlier ranking. Nothing is found for owners that are unknown or erased."""
        asked.check(request)
        caller = self._caller(request.parent)
        page = self._next_page if request.page_token else self._first_page
        try:
            response, state = await page(request, caller, pinned=False)
        except MovedError:
            response, state = await page(request, caller, pinned=True)
        context.set_trailing_metadata(self._freshness.metadata(caller.owner, state))
        return response

    async def ListOnDays(  # noqa: N802
        self, request: search_pb2.ListOnDaysRequest, context: Context
    ) -> search_pb2.ListOnDaysResponse:
        """List memories of days of the year, the newest first."""
        asked.check_days(request)
        caller = self._caller(request.parent)
        last = days.Last.opened(self._tokens, request, caller.owner)
        rows = await days.rows(self._pool, request, caller.owner, last)
        state = State.of(rows[0])
        await self._freshness.require(state, caller.seen)
        await self._freshness.require(state, last.seen)
        context.set_trailing_metadata(self._freshness.metadata(caller.owner, state))
        return days.page(self._tokens, request, caller.user, caller.owner, rows, last)

    def _caller(self, parent: str) -> Caller:
        user = names.parse_user(parent)
        call = principal.call()
        owner = call.principal.owner_of(user)
        return Caller(user, owner, self._freshness.asked(call, owner))

    async def _first_page(
        self, request: search_pb2.SearchRequest, caller: Caller, *, pinned: bool
    ) -> tuple[search_pb2.SearchResponse, State]:
        guess = None if pinned or request.known_revision else self._segments.guess(caller.owner, caller.seen)
        if guess is not None:
            return await self._answered(guess, request, caller), guess.now.state

        async def unchanged(state: State) -> bool:
            await self._freshness.require(state, caller.seen)
            return state.revision == request.known_revision != 0

        ahead = self._cosines_ahead(caller.owner, request.question)
        async with self._segments.view(caller.owner, unchanged, pinned=pinned) as view:
            return await self._answered(view, request, caller, ahead), view.now.state

    async def _answered(
        self, view: View, request: search_pb2.SearchRequest, caller: Caller, ahead: Pending | None = None
    ) -> search_pb2.SearchResponse:
        revision = view.now.state.revision
        response = search_pb2.SearchResponse(revision=revision, warm=view.warm)
        if revision == request.known_revision != 0:
            response.unchanged = True
        elif _said_speakers(view, request.speakers_digest, response):
            await confirm(view)
        elif view.segment:
            await self._rank(view, request, caller, response, ahead)
        else:
            await confirm(view)
        return response

    def _cosines_ahead(self, owner: UUID, question: search_pb2.Question) -> Pending | None:
        """Begin to compute cosines if the owner's memories have to be read first."""
        fits = len(question.vector) == 4 * DIMENSIONS.get(question.model, 0) > 0
        if not fits or self._segments.holds(owner):
            return None
        return self._ahead.start(owner, question.model, question.vector)

    async def _rank(
        self,
        view: View,
        request: search_pb2.SearchRequest,
        caller: Caller,
        response: search_pb2.SearchResponse,
        ahead: Pending | None,
    ) -> None:
        question = self._question(request.question, view.now.model)
        around = Around(request.neighbors_before, request.neighbors_after)
        only = asked.filter_of(request)
        hits, read = await found(view, question, only, request.page_size, around, ahead)
        page, _ = hits.parted(request.page_size)
        _, rest = hits.parted(put_hits(response, view, caller.user, page, read, around))
        state = view.now.state
        seen = ConsistencyToken(state.lineage, caller.owner, state.revision)
        response.next_page_token = self._token(request, seen, rest)

    async def _next_page(
        self, request: search_pb2.SearchRequest, caller: Caller, *, pinned: bool
    ) -> tuple[search_pb2.SearchResponse, State]:
        around = Around(request.neighbors_before, request.neighbors_after)
        digest = asked.digest_of(request)
        remaining = Remaining.opened(self._tokens, request.page_token, caller.owner, digest)

        async def without_neighbours(state: State) -> bool:
            await self._freshness.require(state, caller.seen)
            await self._freshness.require(state, remaining.seen)
            return around == (0, 0)

        async with self._segments.view(caller.owner, without_neighbours, pinned=pinned) as view:
            response = search_pb2.SearchResponse(revision=view.now.state.revision, warm=view.warm)
            if not view.now.empty:
                page, _ = remaining.hits.parted(request.page_size)
                read = await bodies(view, [hit.id for hit in page], around)
                _, rest = remaining.hits.parted(put_hits(response, view, caller.user, page, read, around))
                response.next_page_token = self._token(request, remaining.seen, rest)
            return response, view.now.state

    def _token(self, request: search_pb2.SearchRequest, seen: ConsistencyToken, rest: Hits) -> str:
        return Remaining(seen, rest).sealed(self._tokens, asked.digest_of(request)) if len(rest) else ""

    def _question(self, question: search_pb2.Question, model: int) -> Question:
        """Read a question; one that another model embedded finds words only."""
        fits = question.model == model
        if question.vector and not fits and self._foreign_model != question.model:
            self._log.warning(
                "searching by words only: questions are embedded by another model than memories",
                question_model=question.model,
                active_model=model,
            )
        self._foreign_model = 0 if fits else question.model
        return asked.question_of(question, DIMENSIONS[model] if fits else -1)


def _said_speakers(view: View, digest: bytes, response: search_pb2.SearchResponse) -> bool:
    """Put the owner's speakers into the response if the question was understood by others."""
    speakers = view.segment.speakers[: asked.MAX_SPEAKERS] if view.segment else ()
    own = asked.digest_of_speakers(speakers)
    if hmac.compare_digest(own, digest):
        return False
    response.speakers.names.extend(speakers)
    response.speakers.digest = own
    return True
