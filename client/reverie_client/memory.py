"""What Reverie answers with: typed views of the messages, which convert a field when it is asked for.

A view costs nothing until it is read, and `message` is there for whoever wants the message itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from reverie.memory.v1 import memory_pb2
from reverie_client.content import KIND_NUMBERS, PRECISION_NUMBERS, Attachment, Kind, Place, Source
from reverie_client.times import Occurred, Precision, from_timestamp

_KINDS = {number: kind for kind, number in KIND_NUMBERS.items()}
_PRECISIONS = {number: precision for precision, number in PRECISION_NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """What one stage of analysis found, by one model."""

    stage: str
    model: str
    revision: int
    dimensions: int | None
    """Of the vector, if the stage makes one."""


@dataclass(slots=True, repr=False)  # not frozen: a page makes fifty, and those would take twice as long
class Memory:
    """A memory as Reverie holds it."""

    message: memory_pb2.Memory

    def __repr__(self) -> str:
        return f"<Memory {self.id} {self.occurred.isoformat()} {self.text[:60]!r}>"

    @property
    def name(self) -> str:
        """`users/{user}/memories/{memory}`."""
        return self.message.name

    @property
    def id(self) -> UUID:
        """Its id."""
        return UUID(self.message.name.rpartition("/")[2])

    @property
    def text(self) -> str:
        """What it says."""
        return self.message.text

    @property
    def kind(self) -> Kind:
        """What sort of thing it is."""
        return _KINDS.get(self.message.kind, Kind.NOTE)

    @property
    def occurred(self) -> Occurred:
        """When it happened, in the person's own time, and how exactly that is known."""
        precision = _PRECISIONS.get(self.message.occurred_precision, Precision.INSTANT)
        return Occurred(self.occurred_at, precision)

    @property
    def occurred_at(self) -> datetime:
        """The instant, or the first one of the day, month or year, in the person's own time."""
        return from_timestamp(self.message.occurred_at, self._offset)

    @property
    def occurred_until(self) -> datetime | None:
        """When it was over, if it took time."""
        if not self.message.HasField("occurred_until"):
            return None
        return from_timestamp(self.message.occurred_until, self._offset)

    @property
    def place(self) -> Place | None:
        """Where it happened."""
        if not self.message.HasField("place"):
            return None
        place = self.message.place
        if not place.HasField("latitude"):
            return Place(place.name)
        return Place(place.name, place.latitude, place.longitude)

    @property
    def people(self) -> Sequence[str]:
        """Who was there or is spoken of."""
        return tuple(self.message.people)

    @property
    def labels(self) -> Sequence[str]:
        """Words to find it by again."""
        return tuple(self.message.labels)

    @property
    def source(self) -> Source | None:
        """Where it comes from, if it is a turn of a conversation."""
        if not self.message.HasField("source"):
            return None
        source = self.message.source
        return Source(source.conversation, source.speaker, source.position)

    @property
    def language(self) -> str:
        """The language of the text; empty if that is not known."""
        return self.message.language

    @property
    def attachments(self) -> Sequence[Attachment]:
        """Objects that belong to it."""
        return tuple(Attachment(a.object, a.media_type, a.size, a.digest) for a in self.message.attachments)

    @property
    def revision(self) -> int:
        """Rises with each change by a client."""
        return self.message.revision

    @property
    def etag(self) -> str:
        """What an update names to say which state it starts from."""
        return self.message.etag

    @property
    def create_time(self) -> datetime:
        """When Reverie accepted it, in UTC."""
        return from_timestamp(self.message.create_time)

    @property
    def update_time(self) -> datetime | None:
        """When a client changed it last, in UTC; None if never."""
        return from_timestamp(self.message.update_time) if self.message.HasField("update_time") else None

    @property
    def analysis(self) -> Sequence[AnalysisResult]:
        """What analysis found in it: of `get`, not of lists."""
        return tuple(_analysis_result(result) for result in self.message.analysis)

    @property
    def _offset(self) -> timedelta:
        return timedelta(seconds=self.message.occurred_utc_offset.seconds)


def _analysis_result(result: memory_pb2.AnalysisResult) -> AnalysisResult:
    dimensions = result.embedding.dimensions if result.HasField("embedding") else None
    return AnalysisResult(result.stage, result.model, result.revision, dimensions)
