"""Promises of what query remembers."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import numpy as np

from services.query.memory import Recent, SpeakersByOwner, Vectors
from services.runtime.embedder import Vectors as Numbers


class Counting:
    """An embedder that counts its work."""

    name = "counting"
    number = 7
    dimensions = 2

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: list[str]) -> Numbers:
        self.embedded += texts
        return np.array([[0.0, 0.0] if text == "" else [1.0, 0.0] for text in texts], np.float32)


def test_what_was_not_used_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent.get("a") == 1
    recent.keep("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)
    assert len(recent) == 2


async def test_a_question_is_embedded_once() -> None:
    embedder = Counting()
    with ThreadPoolExecutor(1) as thread:
        vectors = Vectors(embedder, thread, 2)  # type: ignore[arg-type]
        first, again = await vectors.of("cat"), await vectors.of("cat")
    assert first == again == b"\x00\x00\x80\x3f\x00\x00\x00\x00"
    assert embedder.embedded == ["cat"]


async def test_what_the_model_sees_nothing_in_has_no_vector() -> None:
    with ThreadPoolExecutor(1) as thread:
        assert await Vectors(Counting(), thread, 2).of("") == b""  # type: ignore[arg-type]


async def test_embedding_leaves_the_loop_free() -> None:
    class Slow(Counting):
        def embed(self, texts: list[str]) -> Numbers:
            asyncio.run_coroutine_threadsafe(ticked.wait(), loop).result(10)
            return super().embed(texts)

    loop, ticked = asyncio.get_running_loop(), asyncio.Event()
    loop.call_soon(ticked.set)
    with ThreadPoolExecutor(1) as thread:
        assert await Vectors(Slow(), thread, 2).of("cat")  # type: ignore[arg-type]


def test_speakers_are_those_that_storage_named_last() -> None:
    speakers, owner = SpeakersByOwner(2), uuid4()
    assert speakers.of(owner) == ((), b"")
    speakers.learn(owner, ["Ben"], b"1")
    speakers.learn(owner, ["Ben", "Cleo"], b"2")
    assert speakers.of(owner) == (("Ben", "Cleo"), b"2")
    for _ in range(2):
        speakers.learn(uuid4(), ["x"], b"3")
    assert speakers.of(owner) == ((), b"")
