import base64
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import tokens as tokens_module
from services.runtime.errors import TokenInvalid
from services.runtime.tokens import ConsistencyToken, Keyring, Tokens

OLD, NEW, NEWEST = b"o" * 32, b"n" * 32, b"z" * 32
OWNER = UUID(int=7)
TOKENS = Tokens(Keyring({"1": OLD, "2": NEW}))


def write_keys(directory: Path, **keys: Any) -> None:
    for name, key in keys.items():
        (directory / f"{name}.key").write_bytes(key)


@given(st.text(min_size=1, max_size=20), st.binary(max_size=300))
def test_a_token_gives_back_what_was_sealed(kind: str, payload: bytes) -> None:
    assert TOKENS.open(kind, TOKENS.seal(kind, payload)) == payload


@given(st.binary(max_size=40), st.uuids(), st.integers(0, 2**63 - 1))
def test_a_consistency_token_gives_back_its_parts(lineage: Any, owner: Any, revision: int) -> None:
    token = ConsistencyToken(lineage, owner, revision)
    assert TOKENS.parse_consistency(TOKENS.consistency(token)) == token


@given(
    st.one_of(
        st.text(max_size=200), st.binary(max_size=100).map(lambda b: base64.urlsafe_b64encode(b).decode())
    )
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.open("page", text)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_token_with_one_bit_changed_is_refused(payload: bytes, data: st.DataObject) -> None:
    text = TOKENS.seal("page", payload)
    sealed = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TokenInvalid):
        TOKENS.open("page", base64.urlsafe_b64encode(sealed).rstrip(b"=").decode())


def test_a_token_has_one_spelling() -> None:
    text = TOKENS.seal("page", b"1")
    last = base64.urlsafe_b64encode(b"\xff")[:1].decode()
    for other in (text + "=", text + "\n", text[:-1] + last):
        with pytest.raises(TokenInvalid):
            TOKENS.open("page", other)


def test_a_token_of_another_kind_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.open("page", TOKENS.seal("consistency", b"x"))


def test_a_token_of_a_foreign_key_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.open("page", Tokens(Keyring({"2": NEWEST})).seal("page", b"x"))


def test_the_newest_key_seals_and_the_one_before_still_opens() -> None:
    old = Tokens(Keyring({"1": OLD}))
    assert TOKENS.open("page", old.seal("page", b"x")) == b"x"
    with pytest.raises(TokenInvalid):
        old.open("page", TOKENS.seal("page", b"x"))


def test_two_keys_are_valid_at_a_time(tmp_path: Path) -> None:
    write_keys(tmp_path, **{"1": OLD, "2": NEW, "3": NEWEST})
    keyring = Keyring.load(tmp_path)
    assert list(keyring.keys) == ["2", "3"]
    assert keyring.sealing == ("3", NEWEST)


def test_a_key_that_appears_later_is_found_when_a_token_names_it(tmp_path: Path) -> None:
    write_keys(tmp_path, **{"1": OLD})
    tokens = Tokens(Keyring.load(tmp_path))
    write_keys(tmp_path, **{"2": NEW})
    newer = Tokens(Keyring.load(tmp_path)).seal("page", b"x")
    assert tokens.open("page", newer) == b"x"
    assert tokens.open("page", Tokens(Keyring({"1": OLD})).seal("page", b"y")) == b"y"


@pytest.mark.parametrize("key", [b"short", b"k" * 65])
def test_a_directory_without_keys_or_with_one_of_a_wrong_size_is_refused(tmp_path: Path, key: bytes) -> None:
    with pytest.raises(ValueError, match="no key"):
        Keyring.load(tmp_path)
    write_keys(tmp_path, **{"1": key})
    with pytest.raises(ValueError, match="32 to 64 bytes"):
        Keyring.load(tmp_path)


def test_a_new_key_seals_and_an_old_one_is_gone_within_a_second(tmp_path: Path) -> None:
    write_keys(tmp_path, **{"1": OLD})
    now = 0.0
    tokens = Tokens(Keyring.load(tmp_path), lambda: now)
    oldest = tokens.seal("page", b"x")
    write_keys(tmp_path, **{"2": NEW, "3": NEWEST})
    now = 1.0
    assert Tokens(Keyring({"3": NEWEST})).open("page", tokens.seal("page", b"x")) == b"x"
    with pytest.raises(TokenInvalid):
        tokens.open("page", oldest)


def test_a_consistency_token_that_was_opened_before_is_refused_with_its_key_gone(tmp_path: Path) -> None:
    write_keys(tmp_path, **{"1": OLD})
    now = 0.0
    tokens = Tokens(Keyring.load(tmp_path), lambda: now)
    state = ConsistencyToken(b"lineage", UUID(int=1), 5)
    text = tokens.consistency(state)
    assert tokens.parse_consistency(text) == tokens.parse_consistency(text) == state
    write_keys(tmp_path, **{"2": NEW, "3": NEWEST})
    now = 1.0
    with pytest.raises(TokenInvalid):
        tokens.parse_consistency(text)
    assert tokens.consistency(state) != text


def test_no_more_consistency_tokens_are_remembered_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "REMEMBERED", 3)
    tokens = Tokens(Keyring({"1": OLD}))
    states = [ConsistencyToken(b"lineage", UUID(int=1), revision) for revision in range(9)]
    texts = [tokens.consistency(state) for state in states]
    assert [tokens.parse_consistency(text) for text in texts] == states
    assert len(tokens._known.sealed) + len(tokens._known.parsed) <= 3


def test_keys_that_cannot_be_read_leave_the_old_ones(tmp_path: Path) -> None:
    write_keys(tmp_path, **{"1": OLD})
    now = 0.0
    tokens = Tokens(Keyring.load(tmp_path), lambda: now)
    write_keys(tmp_path, **{"2": b"short"})
    now = 1.0
    assert Tokens(Keyring({"1": OLD})).open("page", tokens.seal("page", b"x")) == b"x"
    write_keys(tmp_path, **{"2": NEW})
    now = 2.0
    assert Tokens(Keyring({"2": NEW})).open("page", tokens.seal("page", b"x")) == b"x"
