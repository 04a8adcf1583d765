"""Hints from Valkey: they wake a worker and spread the work, no more. Losing one does no harm."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from services.analyse.planner import Key
from services.runtime.valkey import ANSWER_SECONDS, attempt, failures
from services.storage.client import HINT_FIELD, HINT_STREAM

if TYPE_CHECKING:
    from redis.asyncio.cluster import RedisCluster

GROUP = "embed"
"""The group of workers: each hint goes to one of them."""

ENTRIES = 16
"""Entries read at a time."""

_KEY_BYTES = 32
_LONGEST_TURN = 0.7 * ANSWER_SECONDS


class HintsDownError(Exception):
    """Raised when hints cannot be had now; work is still there."""


class Hints(Protocol):
    """Where hints come from."""

    async def read(self, seconds: float) -> Sequence[Key]:
        """Return the next hints, none if none come in time. HintsDownError if that cannot be told."""
        ...


class NoHints:
    """Stands in where there is no Valkey: due work is looked for every so often."""

    async def read(self, seconds: float) -> Sequence[Key]:  # noqa: ARG002
        """Raise HintsDownError."""
        raise HintsDownError("there is no Valkey")


class ValkeyHints:
    """Reads the stream as a consumer of the group. Nothing is acknowledged: the queue is in the database."""

    def __init__(self, valkey: "RedisCluster", consumer: str) -> None:
        self._valkey = valkey
        self._consumer = consumer
        self._log = structlog.get_logger("hints")
        self._deaf = False

    async def read(self, seconds: float) -> Sequence[Key]:
        """Return the next hints, none if none come in time. HintsDownError if Valkey does not answer."""
        from redis.exceptions import ResponseError

        try:
            keys = await self._read(seconds)
        except failures() as error:
            if not isinstance(error, ResponseError):
                raise self._down(error) from error
            await self._mend(error)
            return ()
        self._heard()
        return keys

    async def _read(self, seconds: float) -> list[Key]:
        """Listen in turns that are shorter than the time after which a node counts as frozen."""
        turns = max(1, math.ceil(seconds / _LONGEST_TURN))
        for _ in range(turns):
            if keys := await self._turn(seconds / turns):
                return keys
        return []

    async def _turn(self, seconds: float) -> list[Key]:
        async with attempt(self._valkey):
            answer: Any = await self._valkey.xreadgroup(
                GROUP,
                self._consumer,
                {HINT_STREAM: ">"},
                count=ENTRIES,
                block=max(1, int(seconds * 1000)),
                noack=True,
            )
        return [key for fields in _fields(answer) for key in decoded(fields.get(HINT_FIELD.encode(), b""))]

    async def _mend(self, error: Exception) -> None:
        """Make the group where it is missing: at first, and after Valkey lost everything."""
        if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
            raise self._down(error) from error
        try:
            async with attempt(self._valkey):
                await self._valkey.xgroup_create(HINT_STREAM, GROUP, id="0", mkstream=True)
        except failures() as refused:
            # Another worker was faster, or Valkey is gone: the next read tells.
            self._log.debug("the group was not made", error=str(refused))

    def _down(self, error: Exception) -> HintsDownError:
        if not self._deaf:
            self._deaf = True
            self._log.warning(
                "no hints: Valkey does not answer; due work is looked for without", error=str(error)
            )
        return HintsDownError(str(error))

    def _heard(self) -> None:
        if self._deaf:
            self._deaf = False
            self._log.info("hints come again")


def decoded(packed: bytes) -> list[Key]:
    """Unpack the keys of an entry; what is no whole key is passed over."""
    whole = len(packed) - len(packed) % _KEY_BYTES
    return [Key(packed[at : at + 16], packed[at + 16 : at + 32]) for at in range(0, whole, _KEY_BYTES)]


def _fields(answer: Any) -> list[dict[bytes, bytes]]:
    """The fields of each entry of an XREADGROUP, by either protocol version."""
    streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or ()]
    return [fields for entries in streams for _, fields in _flat(entries) if fields]


def _flat(entries: Any) -> Any:
    # With protocol 3 redis-py wraps the entries of a stream in one more list.
    return entries[0] if entries and isinstance(entries[0], list) else entries
