"""What ingest is told by its environment."""

from pathlib import Path

from pydantic import Field

from services.runtime.config import ServiceConfig


class IngestConfig(ServiceConfig):
    """Settings of ingest."""

    egress_socket: Path
    token_keys: Path

    lanes: int = Field(default=1, ge=1, le=64)
    """Batches of single writes in flight at a time; alike in every instance.

    1 on a small machine, 8 where the database has many cores.
    """

    bulk_lanes: int = Field(default=1, ge=1, le=64)
    """The same for items of batch calls, which never share a batch with single writes."""

    queue_rows: int = Field(default=8_192, ge=1_000)
    """Rows that callers of one lane may have on their way; what is beyond is refused as overload."""

    queue_bytes: int = Field(default=32 * 1024 * 1024, ge=4 * 1024 * 1024)
    """The same in bytes of content."""
