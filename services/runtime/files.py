"""Files that are read while they are replaced."""

import os
from pathlib import Path

OWNER_ONLY = 0o600


def replace(path: Path, content: str | bytes, *, mode: int = OWNER_ONLY, durable: bool = False) -> None:
    """Write a file in one step: a reader sees the old one or the new one, never a part.

    It never exists with wider rights than `mode`. `durable`: it is on the disk when this returns.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)
