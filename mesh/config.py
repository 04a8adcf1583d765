"""What the control plane is told by its environment."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MeshConfig(BaseSettings):
    """Settings from variables `REVERIE_*`; checked before the socket opens."""

    model_config = SettingsConfigDict(env_prefix="REVERIE_", frozen=True, extra="ignore")

    mesh_socket: Path
    """The Unix socket that proxies and people connect to."""

    topology: Path
    """The file of mesh/topology.py; it may come later and change at any time."""

    cores: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=100_000)
    """Cores that the services of all zones have: edges let in as many calls as keep them busy.

    By default those of this machine.
    """

    log_level: Literal["debug", "info", "warning", "error"] = "info"
