"""How commands reach the platform of a home."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import reverie_client
from ops.local import identity
from ops.local.home import Home
from reverie_client import Reverie
from reverie_client.operator import Operator

TOKEN_VARIABLE = "REVERIE_TOKEN"  # noqa: S105 - a name, no secret


def located(home: Path | None) -> Home:
    """The home that commands are about; NotRunningError if no platform runs there."""
    found = Home.locate(home, os.environ)
    found.endpoint()
    return found


@contextlib.asynccontextmanager
async def connected(home: Path | None) -> AsyncIterator[Reverie]:
    """A connection for applications, with the token of $REVERIE_TOKEN or else one for any user."""
    found = located(home)
    async with _connect(found, found.endpoint().public) as reverie:
        yield reverie


@contextlib.asynccontextmanager
async def operating(home: Path | None) -> AsyncIterator[Operator]:
    """A connection for operators."""
    found = located(home)
    async with _connect(found, found.endpoint().operator) as reverie:
        yield Operator(reverie)


def _connect(home: Home, edges: tuple[str, ...]) -> Reverie:
    given = os.environ.get(TOKEN_VARIABLE)
    return reverie_client.connect(
        edges,
        ca=home.endpoint().ca,
        token=given or (lambda: identity.issue_token(home, scopes=identity.SCOPES)),
    )
