"""The newest consistency token of each user: what makes a read show the writes, and the reads, before it."""

import base64
import binascii
import struct
from collections import OrderedDict

_KEPT_USERS = 10_000
_VERSION = 2
_MAC_BYTES = 16
_STATE = struct.Struct("<16sq")


class Sessions:
    """Keeps one token for each user, of the users seen last.

    A user who is forgotten reads what is at most about a second old, as anybody without a token.
    """

    def __init__(self, kept_users: int = _KEPT_USERS) -> None:
        self._kept_users = kept_users
        self._tokens: OrderedDict[str, str] = OrderedDict()

    def token(self, user: str) -> str | None:
        """The token to send along with that user's next call."""
        return self._tokens.get(user)

    def learn(self, user: str, token: str) -> None:
        """Keeps a token that came with an answer, unless the one kept shows more."""
        kept = self._tokens.get(user)
        if kept == token:
            return
        if kept is None or not _shows_more(kept, token):
            self._tokens[user] = token
        self._tokens.move_to_end(user)
        if len(self._tokens) > self._kept_users:
            self._tokens.popitem(last=False)

    def forget(self, user: str, token: str) -> None:
        """Drops a token that was refused."""
        if self._tokens.get(user) == token:
            del self._tokens[user]


def _shows_more(kept: str, other: str) -> bool:
    """Whether answers that overtook each other on the way would take the session back by `other`.

    Of two histories of the database, or where either can't be read, the one that came last counts.
    """
    one, two = state_of(kept), state_of(other)
    return one is not None and two is not None and one[0] == two[0] and one[1] > two[1]


def state_of(token: str) -> tuple[bytes, int] | None:
    """Owner with history, and revision, that a token names; None if it is of a later form.

    Good for comparing two tokens and nothing else: only the services can tell whether it is genuine.
    """
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        start = 2 + sealed[1] + _MAC_BYTES
        owner, revision = _STATE.unpack_from(sealed, start)
    except (binascii.Error, ValueError, IndexError, struct.error):
        return None
    return (owner + sealed[start + _STATE.size :], revision) if sealed[0] == _VERSION else None
