"""What a file to import consists of: memories, and places where none could be read."""

from dataclasses import dataclass

from reverie_client import NewMemory


@dataclass(frozen=True, slots=True)
class Item:
    """A memory that was read."""

    where: str
    """Its place in the file, for a person: "line 12"."""
    user: str
    new: NewMemory
    """With the id that stands for its place in the source: the same whenever the file is read."""
    source_id: str
    """The source's own id of it, or what stands for it."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A place in the file that can't be read."""

    where: str
    reason: str


Entry = Item | Broken
