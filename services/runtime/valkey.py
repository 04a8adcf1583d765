"""The connection to Valkey. What is kept there may be lost, so nothing waits long for it or tries twice."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECT_SECONDS = 1.0


def connect(socket: Path, password_file: Path | None, *, answer_seconds: float = 1.0) -> "Redis":
    """A client of the Valkey behind a Unix socket that waits up to `answer_seconds` for an answer.

    It connects at its first command. A command that fails is not repeated.
    """
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Redis(
        unix_socket_path=str(socket),
        password=password_file.read_text().strip() if password_file else None,
        socket_timeout=answer_seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
