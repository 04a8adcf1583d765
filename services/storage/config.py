"""What storage is told by its environment."""

from pathlib import Path

from pydantic import Field

from services.runtime.config import ServiceConfig
from services.storage.database import Address, PoolSizes


class StorageConfig(ServiceConfig):
    """Settings of storage: `REVERIE_*`."""

    token_keys: Path
    """Directory of MAC keys for tokens."""

    database_socket: Path
    """Directory of PostgreSQL's Unix socket."""

    database_name: str = "reverie"

    database_secrets: Path
    """Directory with one password file a role: read, write, analysis, admin."""

    read_connections: int = Field(default=8, ge=1)
    search_connections: int = Field(default=4, ge=1)
    write_connections: int = Field(default=4, ge=1)
    bulk_connections: int = Field(default=2, ge=1)

    valkey_nodes: str | None = None
    """Valkey's nodes, `host:port,host:port`. Without them there are no hints: workers look for themselves."""

    valkey_password_file: Path | None = None

    segment_mib: int = Field(default=128, ge=1)
    """Memory for segments; what was not used for longest goes first."""

    max_attempts: int = Field(default=5, ge=1, le=1_000)
    """How often an analysis is tried before it becomes a dead letter."""

    @property
    def address(self) -> Address:
        """Where the database is."""
        return Address(self.database_socket, self.database_name, self.database_secrets)

    @property
    def pool_sizes(self) -> PoolSizes:
        """How many connections each role may have."""
        return PoolSizes(
            read=self.read_connections,
            search=self.search_connections,
            write=self.write_connections,
            bulk=self.bulk_connections,
        )
