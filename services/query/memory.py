"""What query remembers between questions. All of it may go at any time."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from services.runtime.embedder import Embedder

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps the values that were used last, up to a number of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return the value of a key, which makes it the last used; None if it is not kept."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        """Keep a value; what was not used for longest goes."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)


class Speakers(NamedTuple):
    """The speakers of an owner's memories, as storage listed them."""

    names: tuple[str, ...] = ()
    digest: bytes = b""
    """Of the list; empty for the empty list, which is also where nothing is known."""


class SpeakersByOwner:
    """The speakers of the owners who asked last."""

    def __init__(self, most: int) -> None:
        self._recent: Recent[UUID, Speakers] = Recent(most)

    def of(self, owner: UUID) -> Speakers:
        """Return what is known of an owner."""
        return self._recent.get(owner) or Speakers()

    def learn(self, owner: UUID, names: Sequence[str], digest: bytes) -> None:
        """Take what storage says."""
        self._recent.keep(owner, Speakers(tuple(names), digest))


class Vectors:
    """Embeds questions in a thread, and remembers the last ones."""

    def __init__(self, embedder: Embedder, thread: Executor, most: int) -> None:
        self.model = embedder.number
        self._embedder = embedder
        self._thread = thread
        self._recent: Recent[str, bytes] = Recent(most)

    async def of(self, text: str) -> bytes:
        """Return the vector of a text: little-endian float32. Empty if the model sees nothing in it."""
        known = self._recent.get(text)
        if known is not None:
            return known
        vector = await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, text)
        self._recent.keep(text, vector)
        return vector

    def _embed(self, text: str) -> bytes:
        vector = self._embedder.embed([text])[0]
        return vector.astype("<f4").tobytes() if vector.any() else b""
