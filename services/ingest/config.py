"""What ingest is told by its environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from services.ingest.stream import Limits
from services.ingest.streaming import StreamSettings
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
    """The same for items of batch calls and streams, which never share a batch with single writes."""

    queue_rows: int = Field(default=8_192, ge=1_000)
    """Rows that callers of one lane may have on their way; what is beyond is refused as overload."""

    queue_bytes: int = Field(default=32 * 1024 * 1024, ge=4 * 1024 * 1024)
    """The same in bytes of content."""

    streams: int = Field(default=32, ge=1)
    """Streams at a time; more are refused as overload."""

    stream_window: int = Field(default=2_000, ge=100)
    """Items that one stream may have without an acknowledgement."""

    @model_validator(mode="after")
    def _a_window_fits_the_queue(self) -> Self:
        if self.stream_window > self.queue_rows:
            raise ValueError("stream_window is larger than queue_rows: a full frame would never have room")
        return self

    @property
    def stream_settings(self) -> StreamSettings:
        """How streams are served. No tenant takes more than half of them."""
        limits = Limits(window=self.stream_window)
        return StreamSettings(limits, most=self.streams, most_of_a_tenant=max(1, self.streams // 2))
