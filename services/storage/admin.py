"""Operating the queue of analysis and the segments, over all tenants."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import grpc

from reverie.storage.v1 import admin_pb2, admin_pb2_grpc
from services.runtime.errors import InvalidArgument
from services.runtime.tokens import Tokens
from services.storage import letters, limits, records
from services.storage.analyses import STAGE_NAMES
from services.storage.commit import committed
from services.storage.database import FAR_FUTURE, Pool
from services.storage.letters import Key, Place
from services.storage.queries import text
from services.storage.write import Hints

Context = grpc.aio.ServicerContext[Any, Any]

MAX_NAMES = 1_000
"""Dead letters that one call names."""

_AT_ONCE = 500
"""Dead letters that one transaction makes due: its locks hold up the owners' writes."""

_LAST = UUID(int=2**128 - 1)
_NEWEST = Place(FAR_FUTURE, Key(_LAST, _LAST, 32_767, 32_767))


class Segments(Protocol):
    """What can be dropped from memory without loss."""

    def drop(self, owner: UUID | None) -> tuple[int, int]:
        """Drops one owner's, or all: how many, and their bytes."""
        ...


class AdminService(admin_pb2_grpc.StorageAdminServiceServicer):
    """Shows and mends what operators look after."""

    def __init__(self, pool: Pool, tokens: Tokens, hints: Hints, segments: Segments) -> None:
        self._pool = pool
        self._tokens = tokens
        self._hints = hints
        self._segments = segments

    async def GetQueueStats(  # noqa: N802
        self, _request: admin_pb2.GetQueueStatsRequest, _context: Context
    ) -> admin_pb2.GetQueueStatsResponse:
        """Counts the queue."""
        stages = [_stats(*row) for row in await self._pool.fetch(text("queue_stats"))]
        ages = [stage.oldest_due_age.ToTimedelta() for stage in stages if stage.HasField("oldest_due_age")]
        return admin_pb2.GetQueueStatsResponse(
            stages=stages,
            due=sum(stage.ready + stage.waiting for stage in stages),
            oldest_due_age=max(ages) if ages else None,
            dead=sum(stage.dead for stage in stages),
        )

    async def ListDeadLetters(  # noqa: N802
        self, request: admin_pb2.ListDeadLettersRequest, _context: Context
    ) -> admin_pb2.ListDeadLettersResponse:
        """Lists dead letters, the newest first."""
        limits.check(limits.of_page(request.page_size, request.page_token))
        owner = letters.parse_owner(request.owner)
        after = _NEWEST
        if request.page_token:
            after = letters.opened(self._tokens, owner, request.page_token)
        size = limits.page_size(request.page_size)
        rows = await self._pool.fetch(text("dead_letters"), owner, after.dead_at, *after.key, size + 1)
        page = rows[:size]
        token = ""
        if len(rows) > size:
            token = letters.sealed(self._tokens, owner, Place(page[-1]["dead_at"], _key(page[-1])))
        return admin_pb2.ListDeadLettersResponse(
            dead_letters=[_letter(row) for row in page], next_page_token=token
        )

    async def ReplayDeadLetters(  # noqa: N802
        self, request: admin_pb2.ReplayDeadLettersRequest, context: Context
    ) -> admin_pb2.ReplayDeadLettersResponse:
        """Makes dead letters due again."""
        if request.all == bool(request.names):
            raise InvalidArgument.of("names", "is empty with `all`, and not without it")
        if len(request.names) > MAX_NAMES:
            raise InvalidArgument.of("names", f"has at most {MAX_NAMES} entries")
        if request.all:
            return admin_pb2.ReplayDeadLettersResponse(replayed=await self._replay_all(context))
        keys = [letters.parse(name, f"names[{at}]") for at, name in enumerate(request.names)]
        return admin_pb2.ReplayDeadLettersResponse(replayed=await self._replay(keys, context))

    async def DropSegments(  # noqa: N802
        self, request: admin_pb2.DropSegmentsRequest, _context: Context
    ) -> admin_pb2.DropSegmentsResponse:
        """Drops segments of this instance from memory."""
        dropped, size = self._segments.drop(letters.parse_owner(request.owner))
        return admin_pb2.DropSegmentsResponse(dropped=dropped, bytes=size)

    async def _replay_all(self, context: Context) -> int:
        """Replays what is dead now; what dies meanwhile stays dead, so this ends."""
        replayed, by = 0, None
        while rows := await self._pool.fetch(text("some_dead"), by, _AT_ONCE):
            by = rows[0][4]
            replayed += await self._replay([Key(*row[:4]) for row in rows], context)
        return replayed

    async def _replay(self, keys: Sequence[Key], context: Context) -> int:
        columns = [list(column) for column in zip(*keys, strict=True)]
        rows = await committed(self._pool, text("replay"), columns, context)
        self._hints.wrote([(owner, id_) for owner, id_ in rows])
        return len(rows)


def _stats(
    stage: int, model: int, ready: int, waiting: int, dead: int, oldest: timedelta | None
) -> admin_pb2.StageStats:
    return admin_pb2.StageStats(
        stage=STAGE_NAMES.get(stage, str(stage)),
        model=model,
        ready=ready,
        waiting=waiting,
        dead=dead,
        oldest_due_age=oldest,
    )


def _key(row: Any) -> Key:
    return Key(row["owner"], row["id"], row["stage"], row["model"])


def _letter(row: Any) -> records.Fields:
    return {
        "name": letters.name(row["tenant"], row["user_name"], _key(row)),
        "attempts": row["attempts"],
        "first_error": row["first_error"] or "",
        "last_error": row["last_error"] or "",
        "due_time": records.instant(row["due_at"]),
        "dead_time": records.instant(row["dead_at"]),
    }
