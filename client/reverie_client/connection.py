"""The connection to Reverie that an application holds."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from reverie_client.calling import Caller, Environment
from reverie_client.credentials import Credentials, TokenSource
from reverie_client.edges import Edges
from reverie_client.ids import Ids
from reverie_client.links import Links
from reverie_client.retry import RetryPolicy
from reverie_client.user import User


def connect(
    edges: str | Sequence[str],
    *,
    token: TokenSource = None,
    ca: Path | bytes | None = None,
    plaintext: bool = False,
    retry: RetryPolicy | None = None,
    ids: Ids | None = None,
    environment: Environment | None = None,
) -> "Reverie":
    """A connection, to be used as `async with connect(...) as reverie`. Sends nothing before the first call.

    `edges`: an address such as "127.0.0.1:8443", or several, the nearest first; calls go to the first that
    answers.
    `token`: the JWT, a file that holds it, or a function that gives one that is valid now.
    `ca`: the certificates to trust, as PEM or a file of it; None: those that gRPC brings along.
    `plaintext`: no TLS, for tests in one process; never send a token so.
    """
    addresses = [edges] if isinstance(edges, str) else list(edges)
    certificates = ca.read_bytes() if isinstance(ca, Path) else ca
    credentials = None if plaintext else grpc.ssl_channel_credentials(certificates)
    return Reverie(
        Links(addresses, credentials),
        Edges(len(addresses)),
        token,
        retry or RetryPolicy(),
        ids or Ids(),
        environment or Environment(),
    )


class Reverie:
    """A connection. One is enough for a program: any number of users and of calls at a time share it.

    Belongs to the event loop that it is first used in.
    """

    def __init__(
        self,
        links: Links,
        edges: Edges,
        token: TokenSource,
        policy: RetryPolicy,
        ids: Ids,
        environment: Environment,
    ) -> None:
        self._links = links
        self._ids = ids
        self.caller = Caller(links, edges, Credentials(token, environment.wall_clock), policy, environment)
        """Makes any call of the contracts; what `User` and `Operator` stand on."""

    def user(self, user: str) -> User:
        """A user's memories."""
        return User(user, self.caller, self._ids)

    async def close(self) -> None:
        """Ends the calls under way and closes the channels."""
        await self._links.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
