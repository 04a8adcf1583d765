"""The Python client of Reverie, a memory platform: async, typed, one connection for a whole program.

    async with reverie_client.connect("127.0.0.1:8443", ca=Path("ca.pem"), token=Path("token")) as reverie:
        user = reverie.user("ines")
        memory = await user.create("Planted the lemon tree.", occurred_at=date(2025, 3, 9))
        async for hit in user.search("Where is the lemon tree?"):
            print(hit.memory.occurred.isoformat(), hit.memory.text)

A call that returns has happened: a memory that was created is committed, and a search by the same connection,
or by another program that was handed `user.consistency_token` and calls `user.continue_from` with it, finds
it. Ids are chosen here, so a call that fails on the way is made again until its deadline (`within`, by
default 10 seconds), at another edge if need be. What is left is raised as a typed error of
`reverie_client.errors`.

Times need a UTC offset, or are a `date`, or an `Occurred` that says how much is known ("March 2024").
"""

from reverie_client import errors, operator
from reverie_client.answers import AnalysisState, Created, Explanation, Found, Hit, Outcome
from reverie_client.calling import Environment
from reverie_client.connection import Reverie, connect
from reverie_client.content import Attachment, Kind, NewMemory, Place, Source
from reverie_client.errors import ReverieError, Violation
from reverie_client.ids import Ids, derived_id
from reverie_client.listing import Listing, Page
from reverie_client.memory import AnalysisResult, Memory
from reverie_client.narrowing import Filter
from reverie_client.reads import LeapDay
from reverie_client.retry import NO_RETRY, RetryPolicy
from reverie_client.times import Occurred, Precision, When
from reverie_client.user import User

__all__ = [
    "NO_RETRY",
    "AnalysisResult",
    "AnalysisState",
    "Attachment",
    "Created",
    "Environment",
    "Explanation",
    "Filter",
    "Found",
    "Hit",
    "Ids",
    "Kind",
    "LeapDay",
    "Listing",
    "Memory",
    "NewMemory",
    "Occurred",
    "Outcome",
    "Page",
    "Place",
    "Precision",
    "RetryPolicy",
    "Reverie",
    "ReverieError",
    "Source",
    "User",
    "Violation",
    "When",
    "connect",
    "derived_id",
    "errors",
    "operator",
]
