"""Whether and when to repeat a call. Decides; what carries it out is in `calling`."""

from dataclasses import dataclass
from datetime import timedelta

from reverie_client.errors import Draining, Overloaded, ReverieError, Unavailable, Unreachable

PASSING = (Overloaded, Unavailable)
"""Errors that say nothing against what was asked for: the same again may succeed."""

_REFUSED = (Overloaded, Draining)
"""Answers that say: nothing was begun. Any call may be repeated after them."""

_REPEATS_PER_SECOND = 10.0
"""Repeats for overload that are always allowed: who makes few calls shall not wait for more of them."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a connection repeats calls, always within the call's own deadline."""

    first_pause: timedelta = timedelta(milliseconds=25)
    """The first pause; later ones double. Each is shortened at random, by up to a half."""
    longest_pause: timedelta = timedelta(seconds=1)
    """No pause is longer, unless the service asks for one that is."""
    attempts: int | None = None
    """How often at most, with the first; None: as often as the deadline lets."""
    overload_share: float = 0.2
    """Repeats because too much is under way are at most this share of all calls, and ten a second besides,"""
    overload_burst: int = 500
    """and so many at once, after a time without any."""


NO_RETRY = RetryPolicy(attempts=1)
"""Every failure is the caller's, as drills and benches want it."""


class Allowance:
    """Bounds what repeats add to an overload, which they might keep up. Those that are too many wait.

    Times are seconds of a monotonic clock.
    """

    def __init__(self, policy: RetryPolicy, now: float) -> None:
        self._share = policy.overload_share
        self._most = float(policy.overload_burst)
        self._left = self._most
        self._since = now

    def made(self) -> None:
        """A call is made for the first time."""
        self._left = min(self._most, self._left + self._share)

    def take(self, now: float) -> bool:
        """Whether one may be repeated now."""
        self._left = min(self._most, self._left + (now - self._since) * _REPEATS_PER_SECOND)
        self._since = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Failure:
    """A try that failed, and what is left to the call."""

    error: ReverieError
    attempt: int
    """Which try it was, from 1."""
    repeatable: bool
    """Whether the call has the same outcome when it is made twice."""
    untried_edges: int
    """Edges that this call has not tried yet."""
    remaining: float
    """Seconds to the deadline."""


def pause_before_repeat(failure: Failure, policy: RetryPolicy, chance: float) -> float | None:
    """Seconds to wait before the call is made again; None: give up and raise the error.

    `chance` is a number from 0 to 1 that spreads callers who failed together.
    """
    if policy.attempts is not None and failure.attempt >= policy.attempts:
        return None
    if not _may_repeat(failure):
        return None
    pause = _pause(failure, policy, chance)
    return pause if pause < failure.remaining else None


def _may_repeat(failure: Failure) -> bool:
    return isinstance(failure.error, _REFUSED) or (
        failure.repeatable and isinstance(failure.error, Unavailable)
    )


def _pause(failure: Failure, policy: RetryPolicy, chance: float) -> float:
    """None at all where another edge may answer at once."""
    if failure.untried_edges and isinstance(failure.error, Unreachable):
        return 0.0
    doubled = policy.first_pause.total_seconds() * 2.0 ** min(failure.attempt - 1, 16)
    backoff = min(doubled, policy.longest_pause.total_seconds()) * (1.0 - chance / 2)
    if failure.error.retry_delay is None:
        return backoff
    asked = failure.error.retry_delay.total_seconds()
    return max(backoff, asked * (1.0 + chance / 4))
