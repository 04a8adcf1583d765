"""What every service is told by its environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceConfig(BaseSettings):
    """Settings that all services share, from variables `REVERIE_*`; checked before the socket opens."""

    model_config = SettingsConfigDict(env_prefix="REVERIE_", frozen=True, extra="ignore")

    instance: str = Field(pattern=r"^[a-z]+-[a-z]-\d+$")
    """As `ingest-a-0`."""

    zone: str = Field(pattern=r"^[a-z]$")

    app_socket: Path
    """The Unix socket that this process listens on."""

    egress_socket: Path | None = None
    """The Unix socket of its Envoy, for calls to other services; None if it makes none."""

    jwt_keys: Path | None = None
    """JWKS file with the public keys of the issuer; None if no API takes a JWT."""

    token_keys: Path | None = None
    """Directory of MAC keys for tokens."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    concurrency: int = Field(default=1024, ge=1)
    """Calls of one API under way at a time; more are refused as overload."""

    queue_seconds: float = Field(default=0.5, gt=0)
    """Calls that have waited longer for this process are refused as overload, so that no queue lasts."""

    drain_grace_seconds: float = Field(default=1.0, ge=0)
    """How long calls are still taken after the health check fails, while the mesh moves traffic away."""

    stop_grace_seconds: float = Field(default=15.0, ge=0)
    """How long calls that are under way may take to end, after that."""
