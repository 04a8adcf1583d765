"""One user's memories, as seen by one program: names, and calls that belong together."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from google.protobuf.message import Message

from reverie_client.calling import Caller
from reverie_client.memory import Memory
from reverie_client.methods import Method

MemoryRef = Memory | UUID | str
"""A memory, its id, or its full name `users/{user}/memories/{memory}`."""

_Request = TypeVar("_Request", bound=Message)
_Answer = TypeVar("_Answer", bound=Message)


class Session:
    """The calls of one user, each of which sees at least what those before it have seen."""

    def __init__(self, user: str, caller: Caller) -> None:
        self.user_id = user
        self.parent = f"users/{user}"
        self._caller = caller

    @property
    def consistency_token(self) -> str | None:
        """What to hand to another program so that it reads what this one has written and seen."""
        return self._caller.sessions.token(self.user_id)

    def continue_from(self, consistency_token: str) -> None:
        """Makes the calls that follow show at least what another program has written and seen."""
        self._caller.sessions.learn(self.user_id, consistency_token)

    def name_of(self, memory: MemoryRef) -> str:
        """The full name. ValueError for one of another user, or for what is no UUID."""
        if isinstance(memory, UUID):
            return f"{self.parent}/memories/{memory}"
        name = memory.name if isinstance(memory, Memory) else memory
        prefix, slash, memory_id = name.rpartition("/memories/")
        if slash and prefix != self.parent:
            raise ValueError(f"{name!r} is not a memory of {self.parent}")
        try:
            return f"{self.parent}/memories/{UUID(memory_id)}"
        except ValueError:
            raise ValueError(f"{memory_id!r} is no UUID, so it can't be the id of a memory") from None

    async def _call(
        self,
        method: Method[_Request, _Answer],
        request: _Request,
        within: timedelta | None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> _Answer:
        return await self._caller.call(method, request, user=self.user_id, within=within, metadata=metadata)
