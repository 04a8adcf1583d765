"""Cuts a text into runs of what its words are made of: a fifth of what a regular expression takes."""

from collections.abc import Callable


def _separates(_letter: str) -> str:
    return " "


def table(others: str, beyond: Callable[[str], str] = _separates) -> bytes:
    """What `of` keeps: letters of ASCII, in lower case, its digits, and these others.

    `beyond` says which character of Latin-1 stands for each of those of Latin-1 that are not of ASCII.
    """
    kept = (chr(code).lower() if chr(code).isalnum() or chr(code) in others else " " for code in range(128))
    return "".join((*kept, *(beyond(chr(code)) for code in range(128, 256)))).encode("latin-1")


def of(text: str, kept: bytes) -> list[bytes]:
    """The runs of a text, in order. What the table does not keep separates them, and all beyond Latin-1."""
    return text.encode("latin-1", "replace").translate(kept).split()
