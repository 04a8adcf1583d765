"""Whether and when to repeat a call. Decides; what carries it out is in `calling`."""

from dataclasses import dataclass
from datetime import timedelta

from reverie_client.errors import (
    DeadlineExceeded,
    Draining,
    Overloaded,
    ReverieError,
    StoreDown,
    StoreFull,
    Unavailable,
    Unreachable,
)

PASSING = (Overloaded, Unavailable)
"""Errors that say nothing against what was asked for: the same again may succeed."""

_REFUSED = (Overloaded, Draining)
"""Answers that say: nothing was begun. Any call may be repeated after them."""

_NOTHING_HAPPENED = (*_REFUSED, StoreDown, StoreFull)
"""Answers that say so of the try that they end."""

_OF_ALL = (Overloaded, StoreDown)
"""Answers that every other call of the method would get now too."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a connection repeats calls, always within the call's own deadline."""

    first_pause: timedelta = timedelta(milliseconds=25)
    """The first pause; later ones double. Each is shortened at random, by up to a half."""
    longest_pause: timedelta = timedelta(seconds=1)
    """No pause is longer, unless the service asks for one that is."""
    attempts: int | None = None
    """How often at most, with the first; None: as often as the deadline lets."""


NO_RETRY = RetryPolicy(attempts=1)
"""Every failure is the caller's, as drills and benches want it."""


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


def says_nothing_happened(error: ReverieError) -> bool:
    """Whether the try that ended so has changed nothing; said of that one, not of those before it."""
    return isinstance(error, _NOTHING_HAPPENED)


def may_have_happened(error: ReverieError) -> bool:
    """Whether the try that ended so may have had its effect all the same."""
    return isinstance(error, Unavailable | DeadlineExceeded) and not says_nothing_happened(error)


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
    return max(backoff, _spread(failure.error.retry_delay, chance))


def hold_back(error: ReverieError, policy: RetryPolicy, chance: float) -> float | None:
    """Seconds that all calls of a method may be kept back after one's error; None: it is no reason to.

    A database that starts again needs the processors that are taken by callers who try in vain. Who repeats
    nothing wants to be told, each time.
    """
    if not isinstance(error, _OF_ALL) or policy.attempts == 1:
        return None
    return _spread(policy.first_pause if error.retry_delay is None else error.retry_delay, chance)


def _spread(asked: timedelta, chance: float) -> float:
    """What a service asks callers to wait, and at random up to a quarter more."""
    return asked.total_seconds() * (1.0 + chance / 4)
