"""What the control plane is told by its environment."""

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class MeshConfig(BaseSettings):
    """Settings from variables `REVERIE_*`; checked before the socket opens."""

    model_config = SettingsConfigDict(env_prefix="REVERIE_", frozen=True, extra="ignore")

    mesh_socket: Path
    """The Unix socket that proxies and people connect to."""

    topology: Path
    """The file of mesh/topology.py; it may come later and change at any time."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
