from reverie_client.listing import Listing, Page, page_size


class Pages:
    """Five items on pages of two."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fetch(self, token: str) -> Page[int]:
        self.asked.append(token)
        start = int(token or 0)
        end = min(start + 2, 5)
        return Page(list(range(start, end)), str(end) if end < 5 else "")


async def test_a_listing_is_read_through_page_by_page() -> None:
    pages = Pages()
    assert [item async for item in Listing(pages.fetch, None)] == [0, 1, 2, 3, 4]
    assert pages.asked == ["", "2", "4"]


async def test_awaiting_a_listing_gives_all_of_it() -> None:
    assert await Listing(Pages().fetch, None) == [0, 1, 2, 3, 4]


async def test_no_page_is_asked_for_beyond_the_limit() -> None:
    pages = Pages()
    assert await Listing(pages.fetch, 3) == [0, 1, 2]
    assert pages.asked == ["", "2"]
    pages = Pages()
    assert await Listing(pages.fetch, 2) == [0, 1]
    assert pages.asked == [""]


async def test_nothing_is_asked_before_it_is_read() -> None:
    pages = Pages()
    listing = Listing(pages.fetch, None)
    assert pages.asked == []
    assert (await listing.page("2")).items == [2, 3]


def test_pages_are_no_larger_than_the_limit_and_the_service_allow() -> None:
    assert [page_size(limit, 100) for limit in (None, 5, 100, 1000, 0)] == [100, 5, 100, 100, 1]
