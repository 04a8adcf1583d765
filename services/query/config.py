"""What query is told by its environment, beside what every service is."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.runtime.config import ServiceConfig


class QueryConfig(ServiceConfig):
    """Settings of the query service."""

    egress_socket: Path
    """The Unix socket of its Envoy, by which it calls storage."""

    jwt_keys: Path
    token_keys: Path

    embedder: Literal["minilm", "static"] = "minilm"
    """The model that embeds questions: the one that analyse works with, or questions find words only."""

    remembered_questions: int = Field(default=2_048, ge=1)
    """Questions whose vectors are kept, 1.5 KiB each."""

    remembered_owners: int = Field(default=1_024, ge=1)
    """Owners whose list of speakers is kept; most have a handful of names."""
