"""The connection to Valkey. What is kept there may be lost, so nothing waits long for it or tries twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio.cluster import RedisCluster

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.0
"""Commands that block must do so for less: a node that froze is given up after as long."""

_CLOSED_UNDER_IT = (RuntimeError, AttributeError)
"""What uvloop, and the driver, say of a connection that ends while a command, or its greeting, is sent."""


def connect(nodes: str, password_file: Path | None) -> "RedisCluster":
    """A client of the cluster that one of these nodes (`host:port,host:port`) belongs to; a single one, too.

    It connects at its first command, to be given inside `attempt`. ValueError for nodes that can't be read.
    """
    from redis.asyncio.cluster import ClusterNode, RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in addresses(nodes)],
        # Those that were given stay known, however few of them could be seen last time.
        dynamic_startup_nodes=False,
        # Each part of the slots serves by itself.
        require_full_coverage=False,
        password=password_file.read_text().strip() if password_file else None,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@asynccontextmanager
async def attempt(client: "RedisCluster") -> AsyncIterator[None]:
    """For commands, and for nothing else; they are tried once, and one of `failures` is raised if they fail.

    After a failure that is not a refusal the cluster is looked at anew, so that the next commands go to
    whoever took over. By itself the client would go on to ask a dead node where a key is.
    """
    from redis.exceptions import ClusterDownError, ResponseError

    try:
        await client.initialize()
        yield
    except _CLOSED_UNDER_IT as error:
        await close(client)
        raise ConnectionError(f"the connection to Valkey was closed: {error}") from error
    except failures() as error:
        if not isinstance(error, ResponseError) or isinstance(error, ClusterDownError):
            await close(client)
        raise


async def close(client: "RedisCluster") -> None:
    """Close all connections of a client; it may be used again."""
    await client.aclose()
    # That was nothing if the client had already made up its mind to look at the cluster anew.
    for nodes in ("nodes_cache", "startup_nodes"):
        await client.nodes_manager.aclose(nodes)


def failures() -> tuple[type[Exception], ...]:
    """What a command raises when Valkey, or the part of it that has the key, is away or refuses it."""
    from redis.exceptions import RedisClusterException, RedisError

    return RedisError, RedisClusterException, OSError


def addresses(nodes: str) -> list[tuple[str, int]]:
    """Host and port of each node. ValueError, naming the first that has none."""
    return [_address(node) for node in nodes.split(",")]


def _address(node: str) -> tuple[str, int]:
    host, _, port = node.strip().rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError(f"{node!r} is no node of Valkey: say host:port, with commas between several")
    return host, int(port)
