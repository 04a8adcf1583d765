"""Ranking: which of an owner's memories answer a question, by words, neighbours, meaning, speaker and time.

    rank(segment, Question(terms=.., vector=..), Filter(kinds={1}), limit=20)  ->  Ranking, best first
    rescore(ranking, exact_cosines, limit=20)                                  ->  the same, exactly

The score of a memory is the sum of five parts, which are reported beside it:

* words: BM25 over the memory's own terms and, counted less, those of its neighbours in the conversation;
* meaning: its cosine with the question; a memory without a vector gets the mean of the owner's others;
* speaker: the question names who said it;
* time: the question asks for a time and the memory tells one; the question names a date and the memory fits;
* prior: a memory that is itself a question answers little.

A filter decides what is returned and nothing else: how rare a word is, how long a memory is and what its neighbours say
are the owner's, filtered or not, so a memory's score does not depend on the filter. Pure functions of their arguments; a
segment keeps what was derived from it for the next question.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from services.runtime.terms import NamedTime
from services.storage.segment import Segment

Floats = npt.NDArray[np.float32]

MAX_LIMIT = 200
"""A search ranks at most so many memories."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The constants of the score. Measured on LoCoMo and a second set of long chats; all are flat near these."""

    k1: float = 1.0
    """Saturation of a repeated word; 0.6 to 1.5 give the same."""
    b: float = 0.5
    """How much length counts; 0.3 to 0.9 give the same."""
    window: tuple[float, ...] = (1.0, 0.5, 0.25)
    """What a word counts in the neighbour at distance 1, 2, 3. Without neighbours: -5 points of any@10."""
    full_context: int = 20
    """Up to so many words of its own a memory takes its neighbours' in full, a longer one in proportion less."""
    cosine: float = 16.0
    """12 to 20 give the same. Without vectors: -3 points of any@10."""
    speaker: float = 5.0
    """3 to 8 give the same. Without: -2 points of any@10."""
    tells_time: float = 1.5
    named_time: float = 2.0
    """With `tells_time` and `question`: +0.5 points of any@10."""
    question: float = -1.5
    day_before: int = 1
    day_after: int = 10
    """People tell of a day for some time after it: a memory fits a named day from 1 before to 10 after."""
    month_after: int = 17
    """The same for a month, where it fits half."""


WEIGHTS = Weights()
