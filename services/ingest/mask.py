"""Updates: which fields a request changes, and the memory that comes of it."""

from collections.abc import Sequence

from reverie.ingest.v1.ingest_pb2 import UpdateMemoryRequest
from reverie.memory.v1.memory_pb2 import Memory
from services.ingest import validation
from services.ingest.content import complete
from services.runtime.errors import Violation

MAX_PATHS = 16

CHANGEABLE = (
    "text", "occurred_at", "occurred_utc_offset", "occurred_precision", "occurred_until", "place", "people",
    "labels", "language", "attachments",
)  # fmt: skip
"""The client's fields without the id, `source` and `kind`: those do not change."""


def violations(request: UpdateMemoryRequest) -> list[Violation]:
    """What is wrong with the mask, and with those fields that it names."""
    paths = request.update_mask.paths
    found = []
    if not 1 <= len(paths) <= MAX_PATHS:
        found.append(Violation("update_mask", f"has 1 to {MAX_PATHS} paths"))
    for index, path in enumerate(paths[:MAX_PATHS]):
        if path not in CHANGEABLE:
            found.append(Violation(f"update_mask.paths[{index}]", f"is one of {', '.join(CHANGEABLE)}"))
    found += [broken for broken in validation.violations(request.memory) if _top(broken.field) in paths]
    return found


def merged(current: Memory, change: Memory, paths: Sequence[str]) -> Memory:
    """The client's fields of `current`, with those that `paths` name as they are in `change`."""
    taken = Memory()
    taken.CopyFrom(change)
    result = Memory()
    result.CopyFrom(current)
    for field in Memory.DESCRIPTOR.fields_by_name:
        (result if field in paths else taken).ClearField(field)
    result.MergeFrom(taken)
    complete(result)
    return result


def _top(field: str) -> str:
    """`labels` of "memory.labels[2]"."""
    return field.split(".")[1].split("[", maxsplit=1)[0]
