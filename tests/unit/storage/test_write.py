"""What storage says of a batch, by what the database said of its parts."""

from collections.abc import Sequence
from typing import Any

import pytest

from reverie.storage.v1 import write_pb2
from services.storage.batch import Batch
from services.storage.write import HINTS_OF_MANY, Written

WRITTEN = write_pb2.WRITE_STATUS_WRITTEN
OTHER_BODY = write_pb2.WRITE_STATUS_OTHER_BODY
OWNER = b"o" * 16
ROWS = 4


def request(rows: int = ROWS) -> write_pb2.WriteBatchRequest:
    """Some creates of one owner."""
    nothing = [0] * rows
    creates = write_pb2.CreateColumns(
        ids=b"".join(place.to_bytes(16) for place in range(rows)),
        occurred_at=nothing,
        occurred_precisions=nothing,
        kinds=nothing,
        traits=nothing,
        fingerprints=bytes(32 * rows),
        terms=[b""] * rows,
        texts=["x"] * rows,
    )
    owner = write_pb2.BatchOwner(owner=OWNER, tenant=b"t" * 16, user="ana")
    return write_pb2.WriteBatchRequest(owners=[owner], creates=creates, brief=True)


def row(statuses: Sequence[int], revision: int = 7) -> Any:
    """What the database says of a part of them."""
    return 1_000, b"lineage", [revision], statuses, [revision] * len(statuses)


def test_what_was_written_at_once_is_said_in_brief() -> None:
    written = Written(brief=True)
    written.took(Batch.of(request()), row([WRITTEN] * ROWS), {})
    answer = written.response(request())
    assert answer.all_written
    assert not answer.results
    assert [*answer.owner_revisions] == [7]
    assert len(written.due) == ROWS


@pytest.mark.parametrize("brief", [True, False])
def test_results_are_left_out_only_if_all_was_written_and_nobody_asks(brief: bool) -> None:
    written = Written(brief=brief)
    status = OTHER_BODY if brief else WRITTEN
    written.took(Batch.of(request()), row([WRITTEN] * (ROWS - 1) + [status]), {})
    answer = written.response(request())
    assert not answer.all_written
    assert [result.status for result in answer.results] == [WRITTEN] * (ROWS - 1) + [status]


def test_what_was_written_in_parts_is_said_of_each_one() -> None:
    """They have other revisions and times than the owner and the batch."""
    written = Written(brief=True)
    for revision, half in enumerate(Batch.of(request()).halves(), start=7):
        written.took(half, row([WRITTEN] * len(half), revision), {})
    answer = written.response(request())
    assert not answer.all_written
    assert [result.revision for result in answer.results] == [7, 7, 8, 8]


def test_of_many_the_first_are_hinted() -> None:
    batch = Batch.of(request(2 * HINTS_OF_MANY))
    every, some = Written(), Written(without_memories=True)
    for written in (every, some):
        written.took(batch, row([WRITTEN] * len(batch)), {})
    assert len(every.due) == len(batch)
    assert some.due == every.due[:HINTS_OF_MANY]
