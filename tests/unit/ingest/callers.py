"""Callers of ingest in tests."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

from services.runtime.principal import Call, Principal

TENANT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
LATER = datetime(2030, 1, 1, tzinfo=UTC)

INES = Call(Principal(TENANT, "ines", frozenset(), LATER), "Bearer ines", None)
OF_ANOTHER_TENANT = Call(Principal(uuid5(TENANT, "other"), "ines", frozenset(), LATER), "Bearer other", None)
ANYONE = Call(Principal(TENANT, None, frozenset({"users:*"}), LATER), "Bearer anyone", None)
