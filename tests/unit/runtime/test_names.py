import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import names
from services.runtime.errors import InvalidArgument

users = st.from_regex(names.USER_PATTERN, fullmatch=True)
ALICE = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@given(users, st.uuids())
def test_names_are_parsed_to_what_they_were_made_of(user: Any, memory: Any) -> None:
    assert names.parse_user(names.user_name(user)) == user
    assert names.parse_memory(names.memory_name(user, memory)) == (user, memory)


@given(st.text(max_size=200))
def test_what_is_no_name_is_refused_with_its_field(text: str) -> None:
    for parse in (names.parse_user, names.parse_memory):
        if text.startswith("users/"):
            continue
        with pytest.raises(InvalidArgument) as refused:
            parse(text, "some.field")
        assert [violation.field for violation in refused.value.violations] == ["some.field"]


@pytest.mark.parametrize(
    "name",
    [
        "users/",
        "users/a/",
        "users/a b",
        "users/a\n",
        "users/é",
        "users/a/memories",
        " users/a",
        f"users/{'a' * 129}",
    ],
)
def test_a_name_with_anything_amiss_is_no_user(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.parse_user(name)


@pytest.mark.parametrize("memory", [str(ALICE).upper(), ALICE.hex, f"{{{ALICE}}}", f"{ALICE}\n", "", "-"])
def test_a_memory_is_a_uuid_in_lower_case_with_hyphens(memory: Any) -> None:
    with pytest.raises(InvalidArgument):
        names.parse_memory(f"users/a/memories/{memory}")


@given(st.uuids(), users, st.uuids(), users)
def test_an_owner_is_one_user_of_one_tenant(
    tenant: Any, user: Any, other_tenant: Any, other_user: Any
) -> None:
    same = (tenant, user) == (other_tenant, other_user)
    assert (names.owner_of(tenant, user) == names.owner_of(other_tenant, other_user)) is same


@given(st.integers(1, 10**18 - 1))
def test_an_etag_leads_back_to_its_revision(revision: int) -> None:
    assert names.parse_etag(names.etag(revision)) == revision


@given(st.text(max_size=30))
def test_any_text_is_an_etag_or_refused(text: str) -> None:
    try:
        revision = names.parse_etag(text, "etag")
    except InvalidArgument:
        assert re.fullmatch("[1-9][0-9]{0,17}", text) is None
    else:
        assert names.etag(revision) == text
