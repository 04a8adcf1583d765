"""Frames of a stream: their items are checked, written together, and answered part by part."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from reverie.ingest.v1.ingest_pb2 import StreamItem, StreamMemoriesResponse
from services.ingest.batcher import BulkWrite
from services.ingest.bulk import Part
from services.ingest.lane import Owner
from services.ingest.receipts import Receipts, refuse
from services.ingest.rows import Row, row
from services.ingest.stream import Frame
from services.runtime.errors import InvalidArgument, ReverieError


class Settled(NamedTuple):
    """Items with their outcomes: those that were tried, and those that were not even tried."""

    items: Sequence[StreamItem]
    part: Part | None
    refused: Sequence[ReverieError] = ()

    def put_into(self, response: StreamMemoriesResponse, receipts: Receipts) -> None:
        """Adds a result for each item."""
        add = response.results.add
        if self.part is None:
            for item, error in zip(self.items, self.refused, strict=True):
                refuse(add(sequence=item.sequence).result, error)
            return
        fill = receipts.fill
        for item, outcome in zip(self.items, self.part.outcomes, strict=True):
            if outcome is not None:
                fill(add(sequence=item.sequence).result, item.request.memory_id, outcome)


class FrameWrite:
    """The items of one frame on their way. `settled` hears of each part of them."""

    def __init__(
        self, frame: Frame, write: BulkWrite, settled: Callable[["FrameWrite", Settled], None]
    ) -> None:
        self.frame = frame
        self._write = write
        self._settled = settled
        self._unsettled = frame.unanswered
        self._taken: list[StreamItem] = []
        self._rows: list[Row] = []
        self._broken: list[StreamItem] = []
        self._errors: list[ReverieError] = []

    def prepare(self, owner: Owner, parent: str, items: Sequence[StreamItem], now: datetime) -> None:
        """Checks some of its items and makes rows of those that are acceptable."""
        for item in items:
            try:
                self._rows.append(_row(owner, parent, item, now))
                self._taken.append(item)
            except InvalidArgument as wrong:
                self._broken.append(item)
                self._errors.append(wrong)

    def submit(self) -> None:
        """Refuses what is broken of what was prepared, and has the rest written."""
        taken, rows, broken, errors = self._taken, self._rows, self._broken, self._errors
        self._taken, self._rows, self._broken, self._errors = [], [], [], []
        if broken:
            self._settle(Settled(broken, None, errors))
        if rows:
            self._write.submit(rows, lambda part: self._settle(Settled(taken[part.start : part.stop], part)))

    def end(self) -> None:
        """Leaves what is not answered."""
        self._write.end()

    def _settle(self, settled: Settled) -> None:
        self._unsettled -= len(settled.items)
        if not self._unsettled:
            self._write.end()
        self._settled(self, settled)

    @property
    def is_settled(self) -> bool:
        """Whether every item has its outcome."""
        return not self._unsettled


def _row(owner: Owner, parent: str, item: StreamItem, now: datetime) -> Row:
    request = item.request
    if request.parent and request.parent != parent:
        raise InvalidArgument.of("parent", "is left out or that of the stream")
    return row(owner, request, None, 0, now)
