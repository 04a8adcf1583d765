"""Promises of page tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.query.v1 import query_pb2
from services.query import pages
from services.runtime.errors import TokenInvalid
from services.runtime.tokens import Keyring, Tokens

TOKENS = Tokens(Keyring({"1": b"k" * 32}))
INNER = TOKENS.seal("storage.search", b"what is left")


def test_a_token_carries_storages_token_and_bytes_of_ours() -> None:
    token = pages.sealed(TOKENS, "query.day", b"request", INNER, b"day")
    assert pages.opened(TOKENS, "query.day", b"request", token) == (INNER, b"day")


def test_there_is_no_token_without_a_next_page() -> None:
    assert pages.sealed(TOKENS, "query.day", b"request", "", b"day") == ""


@pytest.mark.parametrize(
    ("kind", "request_", "change"),
    [
        ("query.search", b"request", lambda token: token),
        ("query.day", b"another request", lambda token: token),
        ("query.day", b"request", lambda token: token + "A"),
        ("query.day", b"request", lambda token: token.replace(".", "")),
        ("query.day", b"request", lambda token: token.split(".")[0]),
        ("query.day", b"request", lambda token: token.split(".")[1]),
        ("query.day", b"request", lambda token: token.split(".")[0] + "." + TOKENS.seal("x", b"y")),
    ],
)
def test_a_token_of_something_else_is_refused(kind, request_, change) -> None:  # type: ignore[no-untyped-def]
    token = pages.sealed(TOKENS, "query.day", b"request", INNER, b"day")
    with pytest.raises(TokenInvalid):
        pages.opened(TOKENS, kind, request_, change(token))


@given(st.text())
def test_whatever_else_comes_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        pages.opened(TOKENS, "query.day", b"request", text)


def test_only_page_token_and_size_may_change_from_page_to_page() -> None:
    first = query_pb2.SearchMemoriesRequest(parent="users/ana", query="cat", page_size=5)
    second = query_pb2.SearchMemoriesRequest(parent="users/ana", query="cat", page_size=9, page_token="x")
    other = query_pb2.SearchMemoriesRequest(parent="users/ana", query="dog", page_size=5)
    assert pages.bound(first) == pages.bound(second)
    assert pages.bound(first) != pages.bound(other)
