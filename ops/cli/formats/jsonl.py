"""One memory a line, as JSON. `examples/README.md` describes the fields.

The id of a memory derives from its time and its `key`, or its whole content where it has no key: so a file
that is imported again adds nothing.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any, BinaryIO, NoReturn

from ops.cli.formats.entry import Broken, Entry, Item
from ops.cli.formats.fields import Fields
from reverie_client import Attachment, Kind, NewMemory, Occurred, Place, Source, derived_id
from reverie_client.content import to_message
from reverie_client.times import parse_offset

LONGEST_LINE = 1 << 20
"""Bytes. A memory has at most some 60 KiB; whatever is longer is no line of this format."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(file: BinaryIO, user: str, now: datetime) -> Iterator[Entry]:
    """The memories of a file, one line in memory at a time. Empty lines are passed over.

    What happens after `now` is filed under 1970 in its id: Reverie refuses ids ahead of its clock.
    """
    for number, line in _lines(file):
        where = f"line {number}"
        if line is None:
            yield Broken(where, f"is longer than {LONGEST_LINE:,} bytes")
        elif line.strip():
            yield parse(line, where, user, now)


def parse(line: bytes, where: str, user: str, now: datetime) -> Entry:
    """The memory of one line, or everything that is wrong with it."""
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as wrong:
        return Broken(where, f"is not UTF-8: byte {wrong.start} is {line[wrong.start]:#04x}")
    except (ValueError, RecursionError) as wrong:
        return Broken(where, f"is no JSON: {wrong}")
    if not isinstance(value, dict):
        return Broken(where, "is no JSON object")
    fields = Fields(value)
    key = fields.text("key")
    new = _memory(fields)
    fields.end()
    if fields.problems or new is None:
        return Broken(where, "; ".join(fields.problems))
    return _item(where, user, new, f"key:{key}" if key else f"content:{_digest(value)}", now)


def _memory(fields: Fields) -> NewMemory | None:
    occurred = _occurred(fields)
    new = NewMemory(
        text=fields.text("text", required=True),
        occurred_at=occurred,
        occurred_until=_until(fields),
        kind=_kind(fields),
        place=_place(fields),
        people=fields.texts("people"),
        labels=fields.texts("labels"),
        source=_source(fields),
        language=fields.text("language"),
        attachments=[_attachment(each, fields) for each in fields.inners("attachments")],
    )
    return None if occurred is None else new


def _item(where: str, user: str, new: NewMemory, source_id: str, now: datetime) -> Entry:
    assert isinstance(new.occurred_at, Occurred)
    at = new.occurred_at.at
    settled = replace(new, id=derived_id(at if at <= now else _EPOCH, source_id))
    try:
        to_message(settled)
    except (ValueError, OverflowError) as wrong:
        return Broken(where, str(wrong))
    return Item(where, user, settled, source_id)


def _occurred(fields: Fields) -> Occurred | None:
    zone: tzinfo | None = None
    if offset := fields.text("utc_offset"):
        try:
            zone = parse_offset(offset)
        except ValueError as wrong:
            fields.wrong("utc_offset", f"is wrong: {wrong}")
    if text := fields.text("occurred_at", required=True):
        return _time(fields, "occurred_at", text, zone)
    return None


def _until(fields: Fields) -> datetime | None:
    if not (text := fields.text("occurred_until")):
        return None
    occurred = _time(fields, "occurred_until", text, None)
    return None if occurred is None else occurred.at


def _time(fields: Fields, key: str, text: str, zone: tzinfo | None) -> Occurred | None:
    try:
        return Occurred.parse(text, zone)
    except (ValueError, OverflowError) as wrong:
        fields.wrong(key, f"is wrong: {wrong}")
        return None


def _kind(fields: Fields) -> Kind:
    text = fields.text("kind") or Kind.NOTE
    try:
        return Kind(text)
    except ValueError:
        fields.wrong("kind", f"is {text!r}, not one of {', '.join(Kind)}")
        return Kind.NOTE


def _place(fields: Fields) -> Place | None:
    if (place := fields.inner("place")) is None:
        return None
    found = Place(place.text("name"), place.number("latitude"), place.number("longitude"))
    fields.include(place)
    return found


def _source(fields: Fields) -> Source | None:
    if (source := fields.inner("source")) is None:
        return None
    found = Source(
        source.text("conversation", required=True), source.text("speaker"), source.count("position", bits=32)
    )
    fields.include(source)
    return found


def _attachment(attachment: Fields, fields: Fields) -> Attachment:
    found = Attachment(
        attachment.text("object", required=True),
        attachment.text("media_type", required=True),
        attachment.count("size"),
        attachment.text("digest"),
    )
    fields.include(attachment)
    return found


def _digest(value: dict[str, Any]) -> str:
    """Of what the line says, however it is written."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers from 1; None for one that is too long."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        is_too_long = len(line) > LONGEST_LINE
        while is_too_long and line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
        bom = b"\xef\xbb\xbf" if number == 1 else b""
        yield number, None if is_too_long else line.removeprefix(bom)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
