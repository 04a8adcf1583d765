"""The JWT that goes with every call, renewed while the program runs."""

import asyncio
import base64
import binascii
import inspect
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

TokenProvider = Callable[[], str | Awaitable[str]]
"""Gives a JWT that is valid now. Asked again before the last one expires, and when one is refused."""

TokenSource = str | Path | TokenProvider | None
"""A JWT, a file that holds one (read again as it is renewed), or a function that gives one."""

_RENEWAL_LEAD = 60.0
"""A JWT is renewed so many seconds before it expires, or when a quarter of its life is left."""
_LOOK_AGAIN = 30.0
"""After so many seconds a source is asked again where the JWT itself does not tell, or a file may change."""


class Credentials:
    """Keeps the `authorization` metadata of calls. Times are seconds since 1970."""

    def __init__(self, source: TokenSource, wall_clock: Callable[[], float]) -> None:
        self._provider = None if source is None else _provider(source)
        self._renewable = source is not None and not isinstance(source, str)
        self._is_file = isinstance(source, Path)
        self._wall_clock = wall_clock
        self._lock = asyncio.Lock()
        self._header: tuple[str, str] | None = None
        self._renew_at = float("-inf")

    def current(self) -> tuple[str, str] | None:
        """The metadata entry if it is good for this call; None if `renewed` has to be awaited first."""
        return self._header if self._wall_clock() < self._renew_at else None

    async def renewed(self) -> tuple[str, str] | None:
        """The metadata entry, asked from its source if need be; None if there is no source."""
        if self._provider is None:
            return None
        async with self._lock:
            if (header := self.current()) is not None:
                return header
            given = self._provider()
            self._keep((await given if inspect.isawaitable(given) else given).strip())
            return self._header

    def refused(self, header: tuple[str, str] | None) -> bool:
        """Forgets the entry that a call was refused with; whether another may be had."""
        if header == self._header:
            self._renew_at = float("-inf")
        return self._renewable

    def _keep(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")
        if not self._renewable:
            self._renew_at = float("inf")
            return
        now = self._wall_clock()
        expires = expiry_of(token)
        lead = (
            _LOOK_AGAIN
            if expires is None
            else max(0.0, expires - now - _RENEWAL_LEAD, (expires - now) * 0.75)
        )
        self._renew_at = now + (min(lead, _LOOK_AGAIN) if self._is_file else lead)


def expiry_of(token: str) -> float | None:
    """The seconds since 1970 at which a JWT expires, read without verifying it; None if it does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None


def _provider(source: str | Path | TokenProvider) -> TokenProvider:
    if isinstance(source, str):
        return lambda: source
    if isinstance(source, Path):
        return source.read_text
    return source
