from uuid import UUID, uuid4

import pytest

from reverie_client.sessions import Sessions, state_of
from services.runtime.tokens import ConsistencyToken, Keyring, Tokens

OWNER = uuid4()
TOKENS = Tokens(Keyring({"2026-01": b"k" * 32, "2026-02": b"l" * 32}))


def token(revision: int, owner: UUID = OWNER, lineage: bytes = b"first") -> str:
    return TOKENS.consistency(ConsistencyToken(lineage, owner, revision))


def test_the_token_that_came_last_is_kept() -> None:
    sessions = Sessions()
    assert sessions.token("ines") is None
    sessions.learn("ines", token(1))
    sessions.learn("ines", token(2))
    assert sessions.token("ines") == token(2)


def test_an_answer_that_was_overtaken_does_not_take_the_session_back() -> None:
    sessions = Sessions()
    sessions.learn("ines", token(7))
    sessions.learn("ines", token(5))
    assert sessions.token("ines") == token(7)


def test_users_have_sessions_of_their_own() -> None:
    sessions = Sessions()
    sessions.learn("ines", token(7))
    assert sessions.token("tomas") is None


def test_after_a_restore_the_new_history_counts() -> None:
    sessions = Sessions()
    sessions.learn("ines", token(7))
    sessions.learn("ines", token(5, lineage=b"second"))
    assert sessions.token("ines") == token(5, lineage=b"second")


def test_tokens_of_a_later_form_are_kept_as_they_come() -> None:
    sessions = Sessions()
    sessions.learn("ines", "opaque-one")
    sessions.learn("ines", "opaque-two")
    assert sessions.token("ines") == "opaque-two"


def test_a_refused_token_is_dropped_but_not_its_successor() -> None:
    sessions = Sessions()
    sessions.learn("ines", token(1))
    sessions.forget("ines", token(9))
    assert sessions.token("ines") == token(1)
    sessions.forget("ines", token(1))
    assert sessions.token("ines") is None


def test_the_users_seen_last_are_kept() -> None:
    sessions = Sessions(kept_users=2)
    for user in ("a", "b", "a", "c"):
        sessions.learn(user, f"token of {user}")
    sessions.learn("a", "another")
    assert sessions.token("b") is None
    assert sessions.token("a") == "another"
    assert sessions.token("c") == "token of c"


def test_the_state_is_read_from_the_tokens_that_services_seal() -> None:
    assert state_of(token(42)) == (OWNER.bytes + b"first", 42)


@pytest.mark.parametrize("text", ["", "a", "AQ", "@@@@", "x" * 400, "\u2603"])
def test_a_state_that_cannot_be_read_is_none(text: str) -> None:
    assert state_of(text) is None
