"""What analyse is told by its environment, beside what every service is."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.runtime.config import ServiceConfig


class AnalyseConfig(ServiceConfig):
    """Settings of a worker."""

    egress_socket: Path
    """The Unix socket of its Envoy, by which it calls storage."""

    valkey_nodes: str | None = None
    """Valkey's nodes, `host:port,host:port`; None: no hints, due work is looked for every so often."""

    valkey_password_file: Path | None = None

    embedder: Literal["minilm", "static"] = "minilm"
    """The model that embeds."""

    lease_seconds: float = Field(default=60.0, ge=1, le=3600)
    """How long a claim holds. Must be longer than the slowest batch, which takes a few seconds."""

    poll_seconds: float = Field(default=1.5, gt=0, le=60)
    """How long to wait for a hint before looking for due work without one."""

    niceness: int = Field(default=19, ge=0, le=19)
    """How far it steps back behind everything else on the machine; 0: not at all."""
