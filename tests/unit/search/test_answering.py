"""Promises about which hits are scored exactly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.storage.answering import BLUR, unsettled
from services.storage.ranking import WEIGHTS

REACH = BLUR * WEIGHTS.cosine


def test_hits_close_to_the_end_of_the_page_are_scored_exactly() -> None:
    scores = np.array([9.0, 8.0, 7.0, 7.0 - REACH, 7.0 - 3 * REACH, 1.0])
    assert unsettled(scores, 3, WEIGHTS.cosine) == 4
    assert unsettled(scores, 6, WEIGHTS.cosine) == 6
    assert unsettled(scores, 100, WEIGHTS.cosine) == 6


@given(
    st.lists(st.floats(-0.99, 0.99), min_size=1, max_size=60),
    st.integers(1, 30),
    st.randoms(use_true_random=False),
)
def test_the_true_best_are_always_among_them(off: list[float], size: int, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    true = rng.uniform(0, 1, len(off))
    seen = true + REACH * np.array(off)
    order = np.argsort(-seen)
    scored = set(order[: unsettled(seen[order], size, WEIGHTS.cosine)].tolist())
    assert set(np.argsort(-true)[:size].tolist()) <= scored
