"""Where a bench takes place: a platform of its own, or the one that runs, and a client of it.

Nothing of what is measured lives here: a bench sees the platform through `reverie_client`. The exception is
the floor, the same SQL run raw, for which a bench opens the platform's database beside it.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import timedelta

import reverie_client
from ops.bench.registry import CannotRunError, Options
from ops.local.home import Home
from ops.local.plan import POSTGRES, database_secrets
from ops.local.plan import Options as PlatformOptions
from ops.local.platform import Platform
from ops.local.postgres import DATABASE
from reverie_client import User
from reverie_client.operator import Operator
from services.storage.database import Address


@dataclass(frozen=True, slots=True)
class Stage:
    """A platform, and a client at its operator listener, which serves the public services too."""

    platform: Platform
    reverie: reverie_client.Reverie
    operator: Operator
    of_zones: tuple[Operator, ...]
    """An operator at each edge: what one asks for happens in the edge's own zone."""
    zones: int
    """How many the platform has; known too when it is gone."""

    @property
    def database(self) -> Address:
        """Where the platform's database is, for raw SQL."""
        home = self.platform.home
        return Address(home.instance(POSTGRES), DATABASE, database_secrets(home))


@contextlib.asynccontextmanager
async def stage(options: Options) -> AsyncIterator[Stage]:
    """A healthy platform; one that was started for the bench is gone afterwards."""
    async with _platform(options) as platform:
        token = platform.token(scopes=("users:*", "operator"))
        endpoint = platform.endpoint
        async with contextlib.AsyncExitStack() as clients:

            async def connected(*addresses: str) -> reverie_client.Reverie:
                client = reverie_client.connect(addresses, ca=endpoint.ca, token=token)
                return await clients.enter_async_context(client)

            reverie = await connected(*endpoint.operator)
            of_zones = [Operator(await connected(address)) for address in endpoint.operator]
            yield Stage(platform, reverie, Operator(reverie), tuple(of_zones), len(platform.zones))


async def until_analysed(users: Iterable[User], within: timedelta) -> None:
    """Returns when nothing of these users is due any more.

    CannotRunError when that takes too long in all, or where an analysis was given up.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within.total_seconds()
    for user in users:
        while (state := await user.analysis_state()).due:
            if loop.time() > deadline:
                raise CannotRunError(f"{state.due} memories of {user.parent} are due after {within}")
            await asyncio.sleep(1)
        if state.dead:
            raise CannotRunError(
                f"{state.dead} analyses of {user.parent} were given up: see `reverie dlq list`"
            )


def say(line: str) -> None:
    """Tells the person who waits, on stderr: stdout is for the record."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.asynccontextmanager
async def _platform(options: Options) -> AsyncIterator[Platform]:
    if options.running:
        home = Home.locate(options.home, os.environ)
        home.endpoint()  # else what does not run at all would be waited for
        platform = Platform(home)
        await platform.wait_healthy()
        yield platform
    else:
        say("starting a platform for this bench")
        wanted = PlatformOptions(embedder=options.embedder, zones=options.zones)
        async with Platform.temporary(wanted, report=say) as platform:
            yield platform
