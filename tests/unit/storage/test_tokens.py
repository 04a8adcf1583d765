"""Page tokens are bound to what they were made for; freshness is a comparison."""

import contextlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.storage.v1 import read_pb2
from services.runtime.errors import InvalidArgument, StalePrimary, TokenInvalid
from services.runtime.tokens import ConsistencyToken, Keyring, Tokens
from services.storage import letters, timeline
from services.storage.freshness import Freshness, State
from services.storage.letters import Key
from services.storage.timeline import Continued

TOKENS = Tokens(Keyring({"1": b"k" * 32}))
OWNER, OTHER = UUID(int=1), UUID(int=2)
UUIDS = st.uuids(allow_nil=True)
LINEAGE = b"0123456789abcdef"


def listing(**fields: object) -> read_pb2.ListMemoriesRequest:
    return read_pb2.ListMemoriesRequest(parent="users/ana", **fields)  # type: ignore[arg-type]


@given(st.integers(-(2**62), 2**62), UUIDS, st.integers(0, 2**62))
def test_a_page_token_says_where_the_page_begins(occurred_at: int, id_: UUID, revision: int) -> None:
    continued = Continued(timeline.Place(occurred_at, id_), ConsistencyToken(LINEAGE, OWNER, revision))
    request = listing(page_size=7, filter={"speaker": "Ben"})
    request.page_token = timeline.sealed(TOKENS, request, continued)
    assert timeline.opened(TOKENS, request, OWNER) == continued
    request.page_size = 9
    assert timeline.opened(TOKENS, request, OWNER) == continued


def test_a_page_token_is_of_its_owner_request_and_kind() -> None:
    continued = Continued(timeline.Place(5, OTHER), ConsistencyToken(LINEAGE, OWNER, 3))
    token = timeline.sealed(TOKENS, listing(), continued)
    for request, owner in (
        (listing(page_token=token, order=2), OWNER),
        (listing(page_token=token), OTHER),
        (listing(page_token=TOKENS.consistency(continued.seen)), OWNER),
        (listing(page_token=TOKENS.seal(timeline.KIND, b"short")), OWNER),
    ):
        with pytest.raises(TokenInvalid):
            timeline.opened(TOKENS, request, owner)


@given(st.text(max_size=80))
def test_no_text_passes_for_a_page_token(token: str) -> None:
    with pytest.raises(TokenInvalid):
        timeline.opened(TOKENS, listing(page_token=token or "x"), OWNER)
    with pytest.raises(TokenInvalid):
        letters.opened(TOKENS, None, token)


@given(st.none() | UUIDS.filter(lambda owner: owner.int != 0), st.integers(-(2**62), 2**62), UUIDS, UUIDS)
def test_a_token_of_dead_letters_says_where_the_page_begins(
    owner: UUID | None, dead_at: int, of: UUID, id_: UUID
) -> None:
    place = letters.Place(dead_at, Key(of, id_, 1, 2))
    token = letters.sealed(TOKENS, owner, place)
    assert letters.opened(TOKENS, owner, token) == place
    with pytest.raises(TokenInvalid):
        letters.opened(TOKENS, UUID(int=7) if owner is None else None, token)


def test_the_name_of_a_dead_letter_leads_back_to_it() -> None:
    tenant, id_ = UUID(int=5), UUID(int=6)
    owner = letters.parse_owner(f"tenants/{tenant}/users/ana@x.org")
    assert owner is not None
    key = Key(owner, id_, 1, 1)
    name = letters.name(tenant, "ana@x.org", key)
    assert name == f"tenants/{tenant}/users/ana@x.org/memories/{id_}/analyses/embed.1"
    assert letters.parse(name, "names[0]") == key


@pytest.mark.parametrize("end", ["dream.1", "embed.", "embed.99999", "embed.1 ", "embed.-1"])
def test_other_names_are_refused(end: str) -> None:
    name = f"tenants/{UUID(int=5)}/users/ana/memories/{UUID(int=6)}/analyses/{end}"
    with pytest.raises(InvalidArgument):
        letters.parse(name, "names[0]")


@pytest.mark.parametrize(
    ("revision", "lineage", "shows"),
    [(5, LINEAGE, True), (4, LINEAGE, True), (6, LINEAGE, False), (6, b"another history!", True)],
)
def test_a_state_shows_tokens_up_to_its_revision(revision: int, lineage: bytes, shows: bool) -> None:
    state = State(5, erased=False, lineage=LINEAGE)
    assert state.shows(ConsistencyToken(lineage, OWNER, revision)) is shows
    assert state.shows(None)


class Primary:
    """A database that says where its timeline begins and which revision an owner has there."""

    def __init__(self, timeline: int | None, revision: int) -> None:
        self._row = (None if timeline is None else timeline << 40, revision)

    async def fetch(self, _query: str, _owner: UUID) -> list[tuple[int | None, int]]:
        return [self._row]


@pytest.mark.parametrize(
    ("primary", "answers"),
    [
        (Primary(2, 5), True),
        (Primary(2, 6), False),
        (Primary(1, 5), False),
        (Primary(None, 5), False),
    ],
)
async def test_what_is_behind_is_answered_only_if_it_is_what_a_newer_timeline_shows(
    primary: Primary, *, answers: bool
) -> None:
    freshness = Freshness(primary, TOKENS)  # type: ignore[arg-type]
    state, token = State(5, erased=False, lineage=LINEAGE), ConsistencyToken(LINEAGE, OWNER, (1 << 40) + 7)
    with contextlib.nullcontext() if answers else pytest.raises(StalePrimary):
        await freshness.require(state, token)
