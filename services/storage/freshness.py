"""Whether a node may answer: a read shows at least what its caller has seen.

Every read of an owner's data brings the owner's revision from the same snapshot. A consistency token asks for
a revision of the same history; one of another history (the database was restored since) asks for nothing.
"""

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from services.runtime.errors import StalePrimary
from services.runtime.principal import Call
from services.runtime.tokens import METADATA_KEY, ConsistencyToken, Tokens
from services.storage.queries import text

if TYPE_CHECKING:
    from services.storage.database import Pool, Record

_TIMELINE_SHIFT = 40


class State(NamedTuple):
    """The state of an owner that a snapshot shows: what a read's first three columns say."""

    revision: int
    """0: nothing was ever written."""
    erased: bool
    lineage: bytes

    @classmethod
    def of(cls, row: "Record") -> "State":
        """The state in a row of a read."""
        return cls(row[0] or 0, row[1], row[2])

    def shows(self, token: ConsistencyToken | None) -> bool:
        """Whether this state is the token's or a later one."""
        return token is None or token.lineage != self.lineage or self.revision >= token.revision


class Freshness:
    """Checks tokens and makes them."""

    def __init__(self, pool: "Pool", tokens: Tokens) -> None:
        self._pool = pool
        self._tokens = tokens

    def asked(self, call: Call, owner: UUID) -> ConsistencyToken | None:
        """The token that came with a call, unless it is another owner's. TokenInvalid if it is forged."""
        if call.token is None:
            return None
        token = self._tokens.parse_consistency(call.token)
        return token if token.owner == owner else None

    async def require(self, state: State, token: ConsistencyToken | None) -> None:
        """StalePrimary if the node's state is older than the token's.

        A primary of a newer timeline answers: what it lacks was never acknowledged by a quorum. A replica
        may lack anything.
        """
        if token is None or state.shows(token):
            return
        ((floor, revision),) = await self._pool.fetch(text("timeline_floor"), token.owner)
        if floor is None or floor >> _TIMELINE_SHIFT <= token.revision >> _TIMELINE_SHIFT:
            raise StalePrimary
        # The primary may be a new one since the data was read: then the data need not be of its timeline.
        if revision != state.revision:
            raise StalePrimary

    def metadata(self, owner: UUID, state: State) -> tuple[tuple[str, str], ...]:
        """The metadata that tells a caller which state it has seen."""
        token = ConsistencyToken(state.lineage, owner, state.revision)
        return ((METADATA_KEY, self._tokens.consistency(token)),)
