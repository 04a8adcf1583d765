"""What an operator asks: the queue of analysis, its dead letters, segments, echoes.

Connect to an edge's operator listener with a JWT of scope `operator`:

    async with reverie_client.connect([operator_address], ca=ca, token=token) as reverie:
        stats = await reverie_client.operator.Operator(reverie).queue_stats()
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reverie.echo.v1 import echo_pb2
from reverie.storage.v1 import admin_pb2
from reverie_client import methods
from reverie_client.connection import Reverie
from reverie_client.listing import Listing, Page, page_request, page_size
from reverie_client.times import from_timestamp

_LARGEST_PAGE = 200
_ECHO_TO = "reverie-echo-to"


@dataclass(frozen=True, slots=True)
class StageStats:
    """The queue of one stage and model."""

    stage: str
    model: int
    ready: int
    """Due, and nobody works on it."""
    waiting: int
    """Claimed, or waiting after a failure."""
    dead: int
    oldest_due_age: timedelta | None


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The queue of analysis."""

    stages: Sequence[StageStats]
    due: int
    dead: int
    oldest_due_age: timedelta | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An analysis that was given up."""

    name: str
    """`tenants/{tenant}/users/{user}/memories/{memory}/analyses/{stage}.{model}`."""
    attempts: int
    first_error: str
    last_error: str
    due_time: datetime
    dead_time: datetime


@dataclass(frozen=True, slots=True)
class DroppedSegments:
    """What `drop_segments` freed."""

    segments: int
    bytes: int


class Operator:
    """The operator's calls, over all tenants. Raises PermissionDenied without the scope `operator`."""

    def __init__(self, reverie: Reverie) -> None:
        self._caller = reverie.caller

    async def queue_stats(self, *, within: timedelta | None = None) -> QueueStats:
        """Counts the queue of analysis."""
        answer = await self._caller.call(methods.QUEUE_STATS, admin_pb2.GetQueueStatsRequest(), within=within)
        return QueueStats([_stage(stats) for stats in answer.stages], answer.due, answer.dead, _age(answer))

    def dead_letters(
        self, owner: str = "", *, limit: int | None = None, within: timedelta | None = None
    ) -> Listing[DeadLetter]:
        """What was given up, the newest first; of one `tenants/{tenant}/users/{user}` or of all."""
        request = admin_pb2.ListDeadLettersRequest(owner=owner, page_size=page_size(limit, _LARGEST_PAGE))

        async def fetch(token: str) -> Page[DeadLetter]:
            asked = page_request(request, token)
            answer = await self._caller.call(methods.DEAD_LETTERS, asked, within=within)
            return Page([_dead_letter(letter) for letter in answer.dead_letters], answer.next_page_token)

        return Listing(fetch, limit)

    async def replay(self, names: Sequence[str], *, within: timedelta | None = None) -> int:
        """Makes these dead letters due again; returns how many are."""
        return await self._replay(admin_pb2.ReplayDeadLettersRequest(names=names), within) if names else 0

    async def replay_all(self, *, within: timedelta | None = None) -> int:
        """Makes every dead letter due again; returns how many are."""
        return await self._replay(admin_pb2.ReplayDeadLettersRequest(all=True), within)

    async def drop_segments(self, owner: str = "", *, within: timedelta | None = None) -> DroppedSegments:
        """Frees what searches keep in memory, of one `tenants/{tenant}/users/{user}` or of all.

        In the storage that answers: one of the zone of the edge that is asked, while that zone is well.
        """
        request = admin_pb2.DropSegmentsRequest(owner=owner)
        answer = await self._caller.call(methods.DROP_SEGMENTS, request, within=within)
        return DroppedSegments(answer.dropped, answer.bytes)

    async def echo(
        self,
        payload: bytes = b"",
        *,
        response_size: int = 0,
        forward: bool = False,
        to: str = "",
        within: timedelta | None = None,
    ) -> bytes:
        """Has a service answer with so many bytes: `to` ingest, query or storage (empty: ingest).

        With `forward` that service asks storage for them, through the mesh.
        """
        request = echo_pb2.EchoRequest(
            payload=payload, response_size=response_size, forward_to_storage=forward
        )
        metadata = [(_ECHO_TO, to)] if to else []
        return (await self._caller.call(methods.ECHO, request, within=within, metadata=metadata)).payload

    async def _replay(self, request: admin_pb2.ReplayDeadLettersRequest, within: timedelta | None) -> int:
        return (await self._caller.call(methods.REPLAY, request, within=within)).replayed


def _stage(stats: admin_pb2.StageStats) -> StageStats:
    return StageStats(stats.stage, stats.model, stats.ready, stats.waiting, stats.dead, _age(stats))


def _age(stats: admin_pb2.StageStats | admin_pb2.GetQueueStatsResponse) -> timedelta | None:
    return stats.oldest_due_age.ToTimedelta() if stats.HasField("oldest_due_age") else None


def _dead_letter(letter: admin_pb2.DeadLetter) -> DeadLetter:
    return DeadLetter(
        letter.name,
        letter.attempts,
        letter.first_error,
        letter.last_error,
        from_timestamp(letter.due_time),
        from_timestamp(letter.dead_time),
    )
