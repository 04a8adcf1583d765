"""Answers of several pages."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from reverie.query.v1.query_pb2 import ListOnThisDayRequest, SearchMemoriesRequest
from reverie.storage.v1.admin_pb2 import ListDeadLettersRequest
from reverie.storage.v1.read_pb2 import ListMemoriesRequest

Item = TypeVar("Item")
Request = TypeVar(
    "Request", SearchMemoriesRequest, ListOnThisDayRequest, ListMemoriesRequest, ListDeadLettersRequest
)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of an answer."""

    items: Sequence[Item]
    next_page_token: str
    """For the next page; empty at the end."""


class Listing(Generic[Item]):
    """An answer that is asked for page by page while it is read.

    `async for item in listing` goes through it, `await listing` is a list of all of it, and `page` is for
    those who hand page tokens on. Nothing is asked before that.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[Item]]], limit: int | None) -> None:
        self._fetch = fetch
        self._limit = limit

    async def page(self, page_token: str = "") -> Page[Item]:
        """The page of a token; the first one without. `limit` does not cut it."""
        return await self._fetch(page_token)

    async def __aiter__(self) -> AsyncIterator[Item]:
        left = self._limit
        token = ""
        while left is None or left > 0:
            page = await self._fetch(token)
            for item in page.items[:left]:
                yield item
            left = None if left is None else left - len(page.items)
            if not (token := page.next_page_token):
                return

    def __await__(self) -> Generator[Any, None, list[Item]]:
        return self._all().__await__()

    async def _all(self) -> list[Item]:
        return [item async for item in self]


def page_request(request: Request, page_token: str) -> Request:
    """The request for the page of a token: a copy, since pages may be asked for at once; itself for none."""
    if not page_token:
        return request
    asked = type(request)()
    asked.CopyFrom(request)
    asked.page_token = page_token
    return asked


def page_size(limit: int | None, largest: int) -> int:
    """How many items to ask for at a time. The same for every page, as page tokens want it."""
    return largest if limit is None else max(1, min(limit, largest))
