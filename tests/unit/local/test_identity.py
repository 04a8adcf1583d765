from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from ops.local import identity
from ops.local.home import Home, HomeError, NotRunningError
from services.runtime.principal import Verifier
from services.runtime.tokens import Keyring


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_services_accept_the_tokens_and_know_who_it_is(home: Home) -> None:
    keys = identity.ensure(home)
    token = identity.issue_token(home, user="ada", scopes=("operator", "users:*"))
    principal = Verifier(keys.jwks).verify(token)
    assert principal.tenant == home.tenant()
    assert principal.user == "ada"
    assert principal.scopes == {"operator", "users:*"}


def test_a_token_may_be_of_another_tenant(home: Home) -> None:
    keys = identity.ensure(home)
    tenant = uuid4()
    token = identity.issue_token(home, tenant=tenant, user="ada")
    assert Verifier(keys.jwks).verify(token).tenant == tenant


def test_a_token_ends_with_its_time(home: Home) -> None:
    keys = identity.ensure(home)
    now = datetime.now(UTC).replace(microsecond=0)
    token = identity.issue_token(home, user="ada", ttl=timedelta(minutes=5), now=lambda: now)
    assert Verifier(keys.jwks).verify(token).expires == now + timedelta(minutes=5)


def test_what_makes_no_sense_is_refused(home: Home) -> None:
    identity.ensure(home)
    with pytest.raises(HomeError, match="unknown scope root"):
        identity.issue_token(home, scopes=("root",))
    with pytest.raises(HomeError, match="allows nothing"):
        identity.issue_token(home)
    with pytest.raises(HomeError, match="'bad name!' is no user"):
        identity.issue_token(home, user="bad name!")
    with pytest.raises(HomeError, match="between a second and 366 days"):
        identity.issue_token(home, user="ada", ttl=timedelta(0))


def test_before_the_first_start_there_is_no_key_to_sign_with(home: Home) -> None:
    with pytest.raises(NotRunningError, match="`reverie up` makes it"):
        identity.issue_token(home, user="ada")


def test_keys_stay_the_same_and_are_for_their_owner_only(home: Home) -> None:
    identity.ensure(home)
    keyring = Keyring.load(identity.token_keys(home))
    identity.ensure(home)
    assert Keyring.load(identity.token_keys(home)) == keyring
    assert {path.stat().st_mode & 0o077 for path in identity.token_keys(home).iterdir()} == {0}
