"""Frames of a stream: their items are checked, written together, and answered part by part."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from reverie.ingest.v1.ingest_pb2 import StreamItem, StreamMemoriesRequest, StreamMemoriesResponse
from services.ingest import columns
from services.ingest.batcher import BulkWrite
from services.ingest.bulk import BulkOutcome, Part
from services.ingest.lane import Owner
from services.ingest.receipts import Receipts, is_created, refuse
from services.ingest.rows import Row, tried
from services.ingest.stream import Frame
from services.runtime.errors import InvalidArgument, ReverieError


class Settled(NamedTuple):
    """Items with their outcomes: those that were tried, and those that were not even tried."""

    sequences: Sequence[int]
    part: Part | None
    refused: Sequence[ReverieError] = ()

    def put_into(self, response: StreamMemoriesResponse, receipts: Receipts, *, takes_runs: bool) -> None:
        """Adds a result for each item, or one run of all of them."""
        if self.part is None:
            for sequence, error in zip(self.sequences, self.refused, strict=True):
                refuse(response.results.add(sequence=sequence).result, error)
        elif not (takes_runs and self._put_run(response, receipts, self.part.outcome)):
            self._put_each(response, receipts, self.part)

    def _put_run(
        self, response: StreamMemoriesResponse, receipts: Receipts, outcome: BulkOutcome | None
    ) -> bool:
        """Adds a run, where one says everything; whether it does."""
        first, count = self.sequences[0], len(self.sequences)
        if outcome is None or not is_created(outcome) or self.sequences != [*range(first, first + count)]:
            return False
        revision = outcome.revision
        response.runs.add(
            first_sequence=first, count=count, revision=revision, etag=receipts.etag_of(revision)
        )
        return True

    def _put_each(self, response: StreamMemoriesResponse, receipts: Receipts, part: Part) -> None:
        add, fill = response.results.add, receipts.fill
        for sequence, written, outcome in zip(self.sequences, part.rows, part.outcomes, strict=True):
            if outcome is not None:
                fill(add(sequence=sequence).result, written.memory_id, outcome)


class FrameWrite:
    """The items of one frame on their way. `settled` hears of each part of them."""

    def __init__(
        self, frame: Frame, write: BulkWrite, settled: Callable[["FrameWrite", Settled], None]
    ) -> None:
        self.frame = frame
        self._write = write
        self._settled = settled
        self._unsettled = frame.unanswered
        self._taken: list[int] = []
        self._rows: list[Row] = []
        self._broken: list[int] = []
        self._errors: list[ReverieError] = []

    def prepare(self, some: Iterable[tuple[int, Row | InvalidArgument]]) -> None:
        """Takes some of its items in, each with its sequence: the row of one, or what is wrong with it."""
        for sequence, prepared in some:
            if isinstance(prepared, InvalidArgument):
                self._broken.append(sequence)
                self._errors.append(prepared)
            else:
                self._taken.append(sequence)
                self._rows.append(prepared)

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
        self._unsettled -= len(settled.sequences)
        if not self._unsettled:
            self._write.end()
        self._settled(self, settled)

    @property
    def is_settled(self) -> bool:
        """Whether every item has its outcome."""
        return not self._unsettled


def prepared(
    owner: Owner, parent: str, request: StreamMemoriesRequest, now: datetime
) -> Iterator[Row | InvalidArgument]:
    """The row of each item of a frame, then of each memory of its columns, or what is wrong with it."""
    for item in request.items:
        yield _row(owner, parent, item, now)
    yield from columns.rows_of(owner, request.columns, now)


def sequences_of(request: StreamMemoriesRequest) -> list[int]:
    """The numbers of its items, then of its columns. InvalidArgument if those are not of one length."""
    sequences = [item.sequence for item in request.items]
    if request.HasField("columns"):
        columns.check(request.columns)
        sequences += request.columns.sequences
    return sequences


def _row(owner: Owner, parent: str, item: StreamItem, now: datetime) -> Row | InvalidArgument:
    request = item.request
    if request.parent and request.parent != parent:
        return InvalidArgument.of("parent", "is left out or that of the stream")
    return tried(owner, request, None, 0, now)
