"""The calls that read a user's memories, and ask about them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from reverie.memory.v1 import memory_pb2
from reverie.query.v1 import query_pb2
from reverie.storage.v1 import read_pb2
from reverie_client import methods
from reverie_client.answers import AnalysisState, Found, Hit
from reverie_client.listing import Listing, Page, page_request, page_size
from reverie_client.memory import Memory
from reverie_client.narrowing import Filter, filter_message, range_message
from reverie_client.session import MemoryRef, Session
from reverie_client.times import from_timestamp, to_timestamp

_LARGEST_SEARCH_PAGE = 100
_LARGEST_LIST_PAGE = 200


class LeapDay(StrEnum):
    """Where 29 February goes in a year without one."""

    FEBRUARY_28 = "february-28"
    MARCH_1 = "march-1"
    STRICT = "strict"
    """Nowhere: it comes round in leap years only."""


_LEAP_DAYS: dict[LeapDay, query_pb2.LeapDay] = {
    LeapDay.FEBRUARY_28: query_pb2.LEAP_DAY_FEBRUARY_28,
    LeapDay.MARCH_1: query_pb2.LEAP_DAY_MARCH_1,
    LeapDay.STRICT: query_pb2.LEAP_DAY_STRICT,
}


class Reads(Session):
    """Gets, lists and searches."""

    async def get(self, memory: MemoryRef, *, within: timedelta | None = None) -> Memory:
        """The memory, with what analysis found. Raises MemoryNotFound."""
        request = read_pb2.GetMemoryRequest(name=self.name_of(memory))
        return Memory((await self._call(methods.GET, request, within)).memory)

    async def get_many(self, memories: Iterable[MemoryRef], *, within: timedelta | None = None) -> Found:
        """Up to 200 memories, all from one state."""
        names = [self.name_of(memory) for memory in memories]
        request = read_pb2.BatchGetMemoriesRequest(parent=self.parent, names=names)
        answer = await self._call(methods.BATCH_GET, request, within)
        return Found([Memory(message) for message in answer.memories], list(answer.missing))

    def search(
        self,
        query: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        only: Filter | None = None,
        limit: int = 20,
        neighbors_before: int = 0,
        neighbors_after: int = 0,
        explain: bool = False,
        within: timedelta | None = None,
    ) -> Listing[Hit]:
        """The memories that answer a question, best first; at most 200 are ranked.

        `since` is the first instant inside, `until` the first after. `neighbors_before` and `_after` (0 to
        10) ask for memories of the same conversation around each hit, `explain` for why it is there.
        """
        request = query_pb2.SearchMemoriesRequest(
            parent=self.parent,
            query=query,
            time_range=range_message(since, until),
            filter=filter_message(only),
            page_size=page_size(limit, _LARGEST_SEARCH_PAGE),
            neighbors_before=neighbors_before,
            neighbors_after=neighbors_after,
            explain=explain,
        )

        async def fetch(token: str) -> Page[Hit]:
            answer = await self._call(methods.SEARCH, page_request(request, token), within)
            return Page([Hit(hit) for hit in answer.hits], answer.next_page_token)

        return Listing(fetch, limit)

    def timeline(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        only: Filter | None = None,
        oldest_first: bool = False,
        limit: int | None = None,
        within: timedelta | None = None,
    ) -> Listing[Memory]:
        """The memories by when they happened, the newest first; all of them without a `limit`."""
        order = read_pb2.TIMELINE_ORDER_OLDEST_FIRST if oldest_first else read_pb2.TIMELINE_ORDER_NEWEST_FIRST
        request = read_pb2.ListMemoriesRequest(
            parent=self.parent,
            time_range=range_message(since, until),
            filter=filter_message(only),
            page_size=page_size(limit, _LARGEST_LIST_PAGE),
            order=order,
            view=memory_pb2.MEMORY_VIEW_BASIC,
        )

        async def fetch(token: str) -> Page[Memory]:
            answer = await self._call(methods.LIST, page_request(request, token), within)
            return Page([Memory(message) for message in answer.memories], answer.next_page_token)

        return Listing(fetch, limit)

    def on_this_day(
        self,
        time: datetime | None = None,
        *,
        leap_day: LeapDay = LeapDay.FEBRUARY_28,
        limit: int | None = None,
        within: timedelta | None = None,
    ) -> Listing[Memory]:
        """What happened on this day in earlier years, newest first, by the days of the person's own life.

        `time` is an instant on the day in question, now if there is none. A `ZoneInfo` as its zone says on
        whose day it falls; with a fixed offset it is the day of `time` as it is written.
        """
        request = query_pb2.ListOnThisDayRequest(
            parent=self.parent, leap_day=_LEAP_DAYS[leap_day], page_size=page_size(limit, _LARGEST_LIST_PAGE)
        )
        if time is not None:
            _put_day(request, time)

        async def fetch(token: str) -> Page[Memory]:
            answer = await self._call(methods.ON_THIS_DAY, page_request(request, token), within)
            return Page([Memory(message) for message in answer.memories], answer.next_page_token)

        return Listing(fetch, limit)

    async def analysis_state(self, *, within: timedelta | None = None) -> AnalysisState:
        """How much of the memories is still to be analysed."""
        request = read_pb2.GetAnalysisStateRequest(parent=self.parent)
        answer = await self._call(methods.ANALYSIS_STATE, request, within)
        oldest = from_timestamp(answer.oldest_due_time) if answer.HasField("oldest_due_time") else None
        return AnalysisState(answer.due, oldest, answer.dead)


def _put_day(request: query_pb2.ListOnThisDayRequest, time: datetime) -> None:
    if isinstance(time.tzinfo, ZoneInfo):
        request.time_zone = time.tzinfo.key
        request.time.CopyFrom(to_timestamp(time))
    elif time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} has no UTC offset: give it a tzinfo")
    else:
        # A fixed offset has no name: noon, UTC, of the same date falls on the same day.
        request.time.seconds = (time.toordinal() - 719_163) * 86_400 + 43_200
