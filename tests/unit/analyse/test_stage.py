"""Promises of stages."""

import numpy as np
import pytest

from services.analyse.embed import Embed
from services.analyse.stage import StageError, Work, cause
from services.runtime.embedder import Vectors


class Numbers:
    """An embedder that knows one vector."""

    name = "numbers"
    number = 7
    dimensions = 2

    def __init__(self, *vector: float) -> None:
        self._vector = vector

    def embed(self, texts: list[str]) -> Vectors:
        return np.array([self._vector] * len(texts), np.float32)


def test_vectors_are_little_endian_float32() -> None:
    assert Embed(Numbers(1.0, -2.0)).run([Work("a", "")]) == [b"\x00\x00\x80\x3f\x00\x00\x00\xc0"]  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_fails(wrong: float) -> None:
    with pytest.raises(StageError):
        Embed(Numbers(1.0, wrong)).run([Work("a", "")])  # type: ignore[arg-type]


def test_a_cause_names_type_and_place_and_never_quotes_the_memory() -> None:
    try:
        int("my secret")
    except ValueError as error:
        said = cause(error)
    assert said.startswith("ValueError at test_stage.py:")
    assert "secret" not in said


def test_a_stages_own_words_are_kept_and_cut_between_characters() -> None:
    assert cause(StageError("no tokens")) == "no tokens"
    assert len(cause(StageError("€" * 1_000)).encode()) == 1_023
