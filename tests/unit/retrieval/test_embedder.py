import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from services.runtime import embedder
from services.runtime.embedder import Embedder, ModelMissingError, by_name

TEXTS = [
    "I adopted a small cat from the shelter.",
    "A kitten lives with me now.",
    "The quarterly report is due on Monday.",
    "x " * 3000,
    "",
]


@pytest.fixture(scope="module", params=["minilm", "static"])
def model(request: pytest.FixtureRequest) -> Embedder:
    return by_name(request.param)


def test_vectors_have_length_one_and_the_stated_shape(model: Embedder) -> None:
    vectors = model.embed(TEXTS[:4])
    assert vectors.shape == (4, model.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_texts_of_one_meaning_are_nearer_than_others(model: Embedder) -> None:
    cat, kitten, report = model.embed(TEXTS[:3])
    assert cat @ kitten > cat @ report + 0.1


def test_the_vector_of_a_text_does_not_depend_on_the_texts_beside_it(model: Embedder) -> None:
    together = model.embed([*TEXTS, *(f"text number {n} " * n for n in range(12))])
    alone = np.concatenate([model.embed([text]) for text in TEXTS])
    assert together[: len(TEXTS)] == pytest.approx(alone, abs=1e-5)


def test_text_beyond_the_limit_is_cut(model: Embedder) -> None:
    long = "a cat sat on the mat. " * 2000
    assert model.embed([long]) == pytest.approx(model.embed([long[: embedder.MAX_CHARACTERS]]))


def test_no_texts_give_no_vectors(model: Embedder) -> None:
    assert model.embed([]).shape == (0, model.dimensions)


def test_a_text_without_tokens_never_gives_nan(model: Embedder) -> None:
    assert np.isfinite(model.embed([""])).all()


def test_numbers_in_the_database_never_change() -> None:
    assert {name: kind.number for name, kind in embedder.EMBEDDERS.items()} == {"minilm": 1, "static": 2}


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(ValueError, match="minilm, static"):
        by_name("bert")


def test_a_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(ModelMissingError, match="pip install wordllama"):
        by_name("static")


def test_importing_embedders_loads_nothing_heavy() -> None:
    code = (
        "import sys, services.runtime.embedder;"
        "sys.exit(bool({'onnxruntime', 'tokenizers', 'torch', 'wordllama'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
