"""QueryService: understands a question, asks storage once, pages and explains the answer."""

from collections.abc import Sequence
from datetime import UTC, date
from typing import Any
from uuid import UUID

import grpc

from reverie.query.v1 import query_pb2, query_pb2_grpc
from reverie.storage.v1 import search_pb2
from services.query import limits, pages
from services.query.days import LeapDay, days_like, local_day, time_zone
from services.query.memory import SpeakersByOwner, Vectors
from services.query.understanding import Question, understand
from services.runtime import deadline, principal
from services.runtime.clock import WallClock, utc_now
from services.runtime.errors import StalePrimary
from services.runtime.terms import ANALYZER
from services.runtime.tokens import METADATA_KEY, Tokens
from services.storage.client import StorageSearchClient

Context = grpc.aio.ServicerContext[Any, Any]

SEARCH_PAGE = "query.search"
DAY_PAGE = "query.day"

ASKED_AGAIN = 3
"""How often a question is asked at most, while the list of speakers changes under it."""


class QueryService(query_pb2_grpc.QueryServiceServicer):
    """The public API of query. Nothing is cached but vectors of questions and lists of speakers."""

    def __init__(
        self,
        storage: StorageSearchClient,
        tokens: Tokens,
        vectors: Vectors,
        speakers: SpeakersByOwner,
        clock: WallClock = utc_now,
    ) -> None:
        self._storage = storage
        self._tokens = tokens
        self._vectors = vectors
        self._speakers = speakers
        self._clock = clock

    async def SearchMemories(  # noqa: N802
        self, request: query_pb2.SearchMemoriesRequest, context: Context
    ) -> query_pb2.SearchMemoriesResponse:
        """Find memories. InvalidArgument, TokenInvalid, UserForbidden, and what storage raises."""
        user = limits.checked_search(request)
        owner = principal.current().owner_of(user)
        bound = pages.bound(request)
        asked = _narrowed(request)
        if request.page_token:
            asked.page_token, _ = pages.opened(self._tokens, SEARCH_PAGE, bound, request.page_token)
            question = self._understood(request.query, user, ())
            answer = await self._ask(asked, owner, context)
        else:
            question, answer = await self._search(request.query, user, owner, asked, context)
        return query_pb2.SearchMemoriesResponse(
            hits=(_hit(hit, question if request.explain else None) for hit in answer.hits),
            next_page_token=pages.sealed(self._tokens, SEARCH_PAGE, bound, answer.next_page_token),
        )

    async def ListOnThisDay(  # noqa: N802
        self, request: query_pb2.ListOnThisDayRequest, context: Context
    ) -> query_pb2.ListOnThisDayResponse:
        """List what happened on this day in years before. Raises as `SearchMemories` does."""
        user = limits.checked_day(request)
        principal.current().owner_of(user)
        bound = pages.bound(request)
        inner, day = "", self._day(request)
        if request.page_token:
            # The day of the first page: midnight may have passed since.
            inner, carried = pages.opened(self._tokens, DAY_PAGE, bound, request.page_token)
            day = date.fromordinal(int.from_bytes(carried, "big"))
        answer = await self._list(_days_request(request, day, inner), context)
        carried = day.toordinal().to_bytes(4, "big")
        return query_pb2.ListOnThisDayResponse(
            memories=answer.memories,
            next_page_token=pages.sealed(self._tokens, DAY_PAGE, bound, answer.next_page_token, carried),
        )

    async def _search(
        self, text: str, user: str, owner: UUID, asked: search_pb2.SearchRequest, context: Context
    ) -> tuple[Question, search_pb2.SearchResponse]:
        """Ask with the speakers that are known; again, if storage says that they are others."""
        for _ in range(ASKED_AGAIN):
            known = self._speakers.of(owner)
            question = self._understood(text, user, known.names)
            asked.speakers_digest = known.digest
            await self._fill(asked.question, question)
            answer = await self._ask(asked, owner, context)
            if not answer.HasField("speakers"):
                return question, answer
            self._speakers.learn(owner, answer.speakers.names, answer.speakers.digest)
        raise StalePrimary("the user's speakers change faster than a question is answered; try again")

    def _understood(self, text: str, user: str, speakers: Sequence[str]) -> Question:
        return understand(text, speakers=speakers, user=user, today=self._clock().date())

    async def _fill(self, asked: search_pb2.Question, question: Question) -> None:
        asked.Clear()
        asked.terms.extend(question.hashes)
        asked.speakers.extend(question.speakers)
        asked.vector = await self._vectors.of(question.text_to_embed)
        asked.model = self._vectors.model
        asked.analyzer = ANALYZER
        asked.asks_for_time = question.asks_for_time
        for first, last, unit in question.times:
            asked.times.add(first_day=first, last_day=last, unit=unit)

    async def _ask(
        self, asked: search_pb2.SearchRequest, owner: UUID, context: Context
    ) -> search_pb2.SearchResponse:
        answer, token = await self._storage.search(asked, owner, _time_left(context))
        _hand_on(token, context)
        return answer

    async def _list(
        self, asked: search_pb2.ListOnDaysRequest, context: Context
    ) -> search_pb2.ListOnDaysResponse:
        answer, token = await self._storage.list_on_days(asked, _time_left(context))
        _hand_on(token, context)
        return answer

    def _day(self, request: query_pb2.ListOnThisDayRequest) -> date:
        zone = time_zone(request.time_zone) or UTC
        if request.HasField("time"):
            return local_day(request.time.seconds, zone)
        return self._clock().astimezone(zone).date()


def _narrowed(request: query_pb2.SearchMemoriesRequest) -> search_pb2.SearchRequest:
    asked = search_pb2.SearchRequest(
        parent=request.parent,
        page_size=limits.page_size(request.page_size, limits.SEARCH_PAGE),
        neighbors_before=request.neighbors_before,
        neighbors_after=request.neighbors_after,
    )
    if request.HasField("time_range"):
        asked.time_range.CopyFrom(request.time_range)
    if request.HasField("filter"):
        asked.filter.CopyFrom(request.filter)
    return asked


def _days_request(
    request: query_pb2.ListOnThisDayRequest, day: date, page_token: str
) -> search_pb2.ListOnDaysRequest:
    return search_pb2.ListOnDaysRequest(
        parent=request.parent,
        days=(
            search_pb2.DayOfYear(month=month, day=number)
            for month, number in days_like(day, LeapDay(request.leap_day))
        ),
        before_year=day.year,
        page_size=limits.page_size(request.page_size, limits.DAY_PAGE),
        page_token=page_token,
    )


def _hit(hit: search_pb2.RankedHit, question: Question | None) -> query_pb2.SearchHit:
    """Turn a hit of storage into one of ours; with a question, explain it."""
    found = query_pb2.SearchHit(memory=hit.memory, score=hit.score, before=hit.before, after=hit.after)
    if question is not None:
        found.explanation.CopyFrom(_explanation(hit, question))
    return found


def _explanation(hit: search_pb2.RankedHit, question: Question) -> query_pb2.Explanation:
    return query_pb2.Explanation(
        lexical_rank=hit.lexical_rank,
        vector_rank=hit.vector_rank,
        matched_words=question.matched_words(hit.matched_terms),
        words_score=hit.words_score,
        meaning_score=hit.meaning_score,
        speaker_score=hit.speaker_score,
        time_score=hit.time_score,
        prior_score=hit.prior_score,
    )


def _time_left(context: Context) -> float:
    return deadline.shaved(deadline.remaining(context))


def _hand_on(token: str, context: Context) -> None:
    """Give the caller storage's consistency token."""
    if token:
        context.set_trailing_metadata(((METADATA_KEY, token),))
