"""Every statement of storage, by name: `text("get_memory")` is the file get_memory.sql.

`{memory}` in a statement stands for the columns that make a memory, of the alias `m`, in the order in which
`services.storage.records` reads them. A statement about user data binds `owner`; those that may list several
owners, or all, say so in their first line.
"""

from functools import cache
from importlib.resources import files

MEMORY = (
    "id", "revision", "create_time", "update_time", "occurred_at", "occurred_offset", "occurred_precision",
    "kind", "text", "conversation", "speaker", "position",
    "occurred_until", "language", "place", "latitude", "longitude", "labels", "people", "attachments",
)  # fmt: skip
"""The columns that make a memory."""

_COLUMNS = ", ".join(f"m.{column}" for column in MEMORY)


@cache
def text(name: str) -> str:
    """The statement of that name. FileNotFoundError if there is none."""
    statement = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return statement.replace("{memory}", _COLUMNS)
