from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.runtime import client, principal
from services.runtime.errors import Unauthenticated
from services.runtime.principal import Call, Principal

CALLER = Principal(UUID(int=1), "ines", frozenset(), datetime(2030, 1, 1, tzinfo=UTC))


def test_a_call_for_nobody_cannot_be_made_in_somebodys_name() -> None:
    with pytest.raises(Unauthenticated):
        client.forwarded()


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (None, {"authorization": "Bearer x"}),
        ("t", {"authorization": "Bearer x", "reverie-token": "t"}),
    ],
)
async def test_the_jwt_and_the_token_of_the_caller_travel_on(token: Any, expected: Any) -> None:
    principal.enter(Call(CALLER, "Bearer x", token))
    assert dict(client.forwarded()) == expected
