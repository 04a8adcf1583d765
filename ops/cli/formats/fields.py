"""Reads the fields of one JSON object, and collects everything that is wrong with it."""

from typing import Any, TypeVar

_MISSING = "is missing"
_Value = TypeVar("_Value")


class Fields:
    """An object that was read from JSON. Null is as good as absent."""

    def __init__(self, value: dict[str, Any], path: str = "") -> None:
        self._left = {key: each for key, each in value.items() if each is not None}
        self._path = path
        self.problems: list[str] = []

    def text(self, key: str, *, required: bool = False) -> str:
        """A string; empty if there is none."""
        return self._string(key, self._take(key, required=required), "")

    def number(self, key: str) -> float | None:
        """A number."""
        value = self._take(key)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        return self._wrong(key, "is no number", None)

    def count(self, key: str, bits: int = 64) -> int:
        """A whole number of so many bits, with its sign; 0 if there is none."""
        value = self._take(key)
        if value is None:
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < bits:
            return value
        return self._wrong(key, f"is no whole number of {bits} bits", 0)

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            return self._wrong(key, "is no list", [])
        return [self._string(f"{key}[{index}]", each, "") for index, each in enumerate(value)]

    def inner(self, key: str) -> "Fields | None":
        """An object; tell `include` what was wrong with it when it has been read."""
        value = self._take(key)
        if value is None or isinstance(value, dict):
            return None if value is None else Fields(value, f"{self._path}{key}.")
        return self._wrong(key, "is no object", None)

    def inners(self, key: str) -> "list[Fields]":
        """A list of objects."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            return self._wrong(key, "is no list of objects", [])
        return [Fields(each, f"{self._path}{key}[{index}].") for index, each in enumerate(value)]

    def include(self, inner: "Fields") -> None:
        """Takes over what was wrong with an object inside, which has been read to its end."""
        inner.end()
        self.problems += inner.problems

    def end(self) -> None:
        """All has been read: what is left is known to nobody, most likely a slip of the pen."""
        for key in self._left:
            self._wrong(key, "is not known", None)

    def wrong(self, key: str, reason: str) -> None:
        """Notes that a field is wrong in a way that only the caller can tell."""
        self._wrong(key, reason, None)

    def _take(self, key: str, *, required: bool = False) -> Any:
        value = self._left.pop(key, None)
        if value is None and required:
            self._wrong(key, _MISSING, None)
        return value

    def _string(self, key: str, value: Any, default: str) -> str:
        if value is None:
            return default
        if not isinstance(value, str):
            return self._wrong(key, "is no string", default)
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return self._wrong(key, "holds half of a surrogate pair", default)
        return value

    def _wrong(self, key: str, reason: str, instead: _Value) -> _Value:
        self.problems.append(f"{self._path}{key} {reason}")
        return instead
