"""Promises of what a search's page token carries."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.errors import TokenInvalid
from services.runtime.tokens import MAX_TEXT, ConsistencyToken, Keyring, Tokens
from services.storage.ranking import MAX_LIMIT, Ranking
from services.storage.remaining import KIND, Hits, Remaining

TOKENS = Tokens(Keyring({"1": b"k" * 32}))
OWNER = UUID(int=5)
SEEN = ConsistencyToken(b"lineage of16byte", OWNER, 1 << 41)
DIGEST = b"d" * 16


def hits(ids: list[bytes], terms: list[int]) -> Hits:
    count = len(ids)
    numbers = np.arange(count, dtype=np.float64) / 4
    return Hits.of(
        Ranking(
            ids=ids,
            scores=5 * numbers,
            words=numbers,
            meaning=numbers,
            speaker=numbers,
            time=numbers,
            prior=numbers,
            cosines=numbers,
            lexical_ranks=np.arange(count),
            vector_ranks=np.arange(count) * 1_000_000,
            matched=np.arange(count, dtype=np.uint64),
            times=np.zeros(count, np.int64),
            terms=np.array(terms, np.uint32),
        )
    )


def ids(count: int) -> list[bytes]:
    return [n.to_bytes(16, "big") for n in range(count)]


@given(
    st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=MAX_LIMIT, unique=True),
    st.lists(st.integers(0, 2**32 - 1), max_size=80, unique=True),
)
def test_a_token_gives_back_what_was_left(of: list[bytes], terms: list[int]) -> None:
    left = Remaining(SEEN, hits(of, sorted(terms)))
    opened = Remaining.opened(TOKENS, left.sealed(TOKENS, DIGEST), OWNER, DIGEST)
    assert opened.seen == SEEN
    assert list(opened.hits) == list(left.hits)
    assert [hit.id for hit in opened.hits] == of
    assert opened.hits.terms == sorted(terms)[:64]


def test_the_largest_token_is_small_enough_to_come_back() -> None:
    token = Remaining(SEEN, hits(ids(MAX_LIMIT), list(range(64)))).sealed(TOKENS, DIGEST)
    assert len(token) < MAX_TEXT


def test_nothing_left_is_no_token() -> None:
    assert Remaining(SEEN, hits([], [])).sealed(TOKENS, DIGEST) == ""


def test_a_token_of_another_owner_request_or_kind_is_refused() -> None:
    token = Remaining(SEEN, hits(ids(2), [])).sealed(TOKENS, DIGEST)
    for text, owner, digest in (
        (token, UUID(int=6), DIGEST),
        (token, OWNER, b"e" * 16),
        (TOKENS.consistency(SEEN), OWNER, DIGEST),
        (TOKENS.seal(KIND, b"too short"), OWNER, DIGEST),
        ("", OWNER, DIGEST),
    ):
        with pytest.raises(TokenInvalid):
            Remaining.opened(TOKENS, text, owner, digest)


@given(st.binary(max_size=200))
def test_a_damaged_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(TokenInvalid):
        Remaining.opened(TOKENS, TOKENS.seal(KIND, payload), OWNER, DIGEST)


def test_a_page_and_the_rest_make_the_whole() -> None:
    whole = hits(ids(5), [7])
    page, rest = whole.parted(2)
    assert [*page, *rest] == list(whole)
    page, rest = whole.parted(10)
    assert (len(page), len(rest)) == (5, 0)


def test_bits_stand_for_terms() -> None:
    of = hits(ids(4), [11, 22])
    assert [of.matched(hit) for hit in of] == [[], [11], [22], [11, 22]]
