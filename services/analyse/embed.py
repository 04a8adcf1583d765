"""The stage `embed`: a vector of each memory's meaning, by which it is found."""

from collections.abc import Sequence

import numpy as np

from services.analyse.stage import StageError, Work
from services.runtime.embedder import Embedder


class Embed:
    """Embeds the text alone: no speaker, no neighbours, which ranking adds by itself."""

    name = "embed"

    def __init__(self, embedder: Embedder) -> None:
        self.model = embedder.number
        self._embedder = embedder

    def run(self, work: Sequence[Work]) -> list[bytes]:
        """Return unit vectors as little-endian float32. StageError if the model gives no usable number."""
        vectors = self._embedder.embed([item.text for item in work])
        if not np.isfinite(vectors).all():
            raise StageError(f"the model {self._embedder.name} returned numbers that are not finite")
        return [row.astype("<f4").tobytes() for row in vectors]
