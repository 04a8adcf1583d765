"""Which of a user's memories a search or a timeline is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from reverie.memory.v1 import memory_pb2
from reverie_client.content import KIND_NUMBERS, Kind
from reverie_client.times import to_timestamp


@dataclass(frozen=True, slots=True)
class Filter:
    """Lets a memory pass that meets every field that is set. Letter case matters."""

    kinds: Sequence[Kind] = ()
    """Of one of these kinds."""
    labels: Sequence[str] = ()
    """With each of these labels."""
    people: Sequence[str] = ()
    """With each of these people."""
    speaker: str = ""
    """Said by this speaker."""
    conversation: str = ""
    """From this conversation."""


def filter_message(given: Filter | None) -> memory_pb2.MemoryFilter | None:
    """The message; None where nothing is narrowed."""
    if given is None:
        return None
    return memory_pb2.MemoryFilter(
        kinds=[KIND_NUMBERS[kind] for kind in given.kinds],
        labels=given.labels,
        people=given.people,
        speaker=given.speaker,
        conversation=given.conversation,
    )


def range_message(since: datetime | None, until: datetime | None) -> memory_pb2.TimeRange | None:
    """The message for the time from `since` up to, not with, `until`; None for all time."""
    if since is None and until is None:
        return None
    return memory_pb2.TimeRange(
        start_time=None if since is None else to_timestamp(since),
        end_time=None if until is None else to_timestamp(until),
    )
