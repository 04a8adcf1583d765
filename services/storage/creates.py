"""Creates that come column by column, as the arrays that the database takes. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from reverie.memory.v1.memory_pb2 import Memory
from reverie.storage.v1.write_pb2 import CreateColumns
from services.runtime.errors import Violation
from services.storage import records

CREATE = 0
NO_OFFSET = -32_768
"""What stands for an offset that is not said."""

ID, FINGERPRINT = 16, 32
"""How many bytes each of them has."""

RARE_PLACES = (5, *range(18, 25))
"""Which columns hold what few memories have: `occurred_until`, and from `language` to `attachments`."""

_NEEDED = ("occurred_at", "occurred_precisions", "kinds", "traits", "terms")
_LEFT_OUT = ("owner_indices", "occurred_offsets", "conversations", "speakers", "positions")


def broken(creates: CreateColumns, owners: int, most: int) -> Iterator[Violation]:
    """What is wrong with the shape of the columns."""
    rows = len(creates.texts)
    if not 1 <= rows <= most:
        yield Violation("creates.texts", f"has 1 to {most} entries")
        return
    for name, size in (("ids", ID), ("fingerprints", FINGERPRINT)):
        if len(getattr(creates, name)) != rows * size:
            yield Violation(f"creates.{name}", f"has {size} bytes for each text")
    for name in (*_NEEDED, *_LEFT_OUT):
        entries = len(getattr(creates, name))
        if entries != rows and (entries or name in _NEEDED):
            yield Violation(f"creates.{name}", "has an entry for each text")
    yield from _broken_places(creates, owners, rows)


def _broken_places(creates: CreateColumns, owners: int, rows: int) -> Iterator[Violation]:
    indices = creates.owner_indices or (0,)
    if not 0 <= min(indices) <= max(indices) < owners:
        yield Violation("creates.owner_indices", f"are 0 to {owners - 1}")
    if not all(0 <= rare.place < rows for rare in creates.rare):
        yield Violation("creates.rare", f"has places from 0 to {rows - 1}")
    if len({*zip(_indices(creates), _cut(creates.ids, ID), strict=False)}) < rows:
        yield Violation("creates.ids", "has each one once for each owner")


def columns(creates: CreateColumns, owners: Sequence[Any]) -> tuple[list[Any], ...]:
    """The columns of a batch, in the order of its operations' fields; `creates` has nothing broken."""
    rows = len(creates.texts)
    nothing = [None] * rows
    offsets = [None if each == NO_OFFSET else each for each in creates.occurred_offsets] or nothing
    precisions = [*creates.occurred_precisions]
    occurred_at = [*creates.occurred_at]
    conversations = [each or None for each in creates.conversations] or nothing
    found: tuple[list[Any], ...] = (
        [CREATE] * rows,
        [owners[index] for index in _indices(creates)],
        [*map(records.id_of, _cut(creates.ids, ID))],
        nothing,
        occurred_at,
        nothing,
        offsets,
        precisions,
        [*map(records.local_day, occurred_at, (each or 0 for each in offsets), precisions)],
        [*creates.kinds],
        [*creates.traits],
        [creates.analyzer] * rows,
        _cut(creates.fingerprints, FINGERPRINT),
        [*creates.terms],
        [*creates.texts],
        conversations,
        [each or None for each in creates.speakers] or nothing,
        _where(conversations, creates.positions) or nothing,
        *[nothing] * len(RARE_PLACES[1:]),
    )
    return _with_rare(creates, found) if creates.rare else found


def rare_fields(memory: Memory) -> tuple[Any, ...]:
    """What goes into the columns of `RARE_PLACES`."""
    has_place, place = memory.HasField("place"), memory.place
    return (
        records.microseconds(memory.occurred_until) if memory.HasField("occurred_until") else None,
        memory.language or None,
        place.name if has_place else None,
        place.latitude if has_place and place.HasField("latitude") else None,
        place.longitude if has_place and place.HasField("longitude") else None,
        records.array_literal(memory.labels),
        records.array_literal(memory.people),
        records.attachments_json(memory.attachments),
    )


def _with_rare(creates: CreateColumns, found: tuple[list[Any], ...]) -> tuple[list[Any], ...]:
    kept = [*found]
    for place in RARE_PLACES:
        kept[place] = [*found[place]]
    for each in creates.rare:
        for place, value in zip(RARE_PLACES, rare_fields(each.memory), strict=True):
            kept[place][each.place] = value
    return tuple(kept)


def _indices(creates: CreateColumns) -> Sequence[int]:
    return creates.owner_indices or (0,) * len(creates.texts)


def _cut(joined: bytes, size: int) -> list[bytes]:
    return [joined[at : at + size] for at in range(0, len(joined), size)]


def _where(there: Sequence[object], values: Sequence[int]) -> list[int | None]:
    """The values beside what is there."""
    pairs = zip(there, values, strict=False)
    return [None if each is None else value for each, value in pairs]
