"""When to claim how much: everything that decides so lives here, without sockets and clocks.

A worker asks for the `next` step, takes it, and tells what came of it:

    step = planner.next()
    Claim  -> planner.claimed(found, seconds), then planner.worked(items, seconds), and planner.failed()
              whenever storage does not take a call
    Wait   -> planner.hinted(keys); no keys if the time ran out
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MAX_CLAIM = 256
"""What the contract allows in one claim, and as many hints."""


class Key(NamedTuple):
    """A memory by its keys, 16 bytes each."""

    owner: bytes
    id: bytes


class Claim(NamedTuple):
    """Claim due work: up to `limit`, first of all what `hints` name."""

    limit: int
    hints: tuple[Key, ...]


class Wait(NamedTuple):
    """Wait for hints for so many seconds; `deaf`: do not listen meanwhile, the time must pass."""

    seconds: float
    deaf: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """The numbers behind the plan."""

    batch_seconds: float = 0.5
    """How long the work on one claim should take: results come in soon, and stopping does not take long."""
    first_limit: int = 16
    """How much to claim while the speed is unknown."""
    min_limit: int = 4
    poll_seconds: float = 1.5
    gather_seconds: float = 0.1
    """The least pause after a claim that has found all there was: more is written, and claimed together.

    Each claim, and each result, is a call and a commit in the middle of those that users wait for.
    """
    gather_claims: float = 20.0
    """The pause is so many times what the claim took, up to `poll_seconds`: a busy platform is left alone."""
    backoff_seconds: float = 0.1
    """The pause after a first failure; it doubles with each further one, up to `max_backoff_seconds`."""
    max_backoff_seconds: float = 5.0


class Planner:
    """The plan of one worker: claims while there is work, waits for hints when there is none.

    `random` returns numbers from 0 to 1; it spreads workers that would otherwise move in step.
    """

    def __init__(self, pace: Pace, random: Callable[[], float]) -> None:
        self._pace = pace
        self._random = random
        self._hints: deque[Key] = deque(maxlen=4 * MAX_CLAIM)
        self._due = True
        self._asked = pace.first_limit
        self._gathers = 0.0
        self._failures = 0
        self._paused = True
        self._went_well = False
        self._speed: float | None = None

    @property
    def limit(self) -> int:
        """How much to claim at the speed of the last work."""
        if self._speed is None:
            return self._pace.first_limit
        return max(self._pace.min_limit, min(MAX_CLAIM, int(self._speed * self._pace.batch_seconds)))

    def next(self) -> Claim | Wait:
        """Return what to do now."""
        if self._went_well:
            self._failures = 0
        if self._failures and not self._paused:
            self._paused = True
            return Wait(self._backoff(), deaf=True)
        if self._due or self._hints:
            self._asked = self.limit
            return Claim(self._asked, self._take_hints())
        if self._gathers:
            pause, self._gathers = self._gathers, 0.0
            return Wait(self._about(pause), deaf=True)
        return Wait(self._about(self._pace.poll_seconds))

    def hinted(self, keys: Sequence[Key]) -> None:
        """Take hints. None came if `keys` is empty: then it is time to look without."""
        self._hints.extend(keys)
        self._due = True

    def claimed(self, found: int, seconds: float) -> None:
        """A claim was answered, after so long. If it found as much as it asked for there may be more.

        What else it may have passed over, as it went to the dead letters, is found by looking every so often.
        Pauses end once all that follows from it has gone well too: where results cannot be attached, each
        claim takes one attempt from each of its memories.
        """
        self._went_well = True
        self._due = found >= self._asked
        pace = self._pace
        pause = max(pace.gather_seconds, min(seconds * pace.gather_claims, pace.poll_seconds))
        self._gathers = pause if found else 0.0

    def worked(self, items: int, seconds: float) -> None:
        """Work took so long; the newest counts most."""
        speed = items / max(seconds, 1e-6)
        self._speed = speed if self._speed is None else 0.5 * (self._speed + speed)

    def failed(self) -> None:
        """Storage did not take a call: try again after a pause."""
        self._failures += 1
        self._paused = False
        self._went_well = False
        self._due = True

    def _take_hints(self) -> tuple[Key, ...]:
        return tuple(self._hints.popleft() for _ in range(min(MAX_CLAIM, len(self._hints))))

    def _about(self, seconds: float) -> float:
        """A quarter more or less, so that workers do not wait in step."""
        return seconds * (0.75 + 0.5 * self._random())

    def _backoff(self) -> float:
        longest = min(
            self._pace.max_backoff_seconds, self._pace.backoff_seconds * 2.0 ** min(self._failures - 1, 16)
        )
        return longest * (0.5 + 0.5 * self._random())


def isolated(attempts: Sequence[int], shuffle: Callable[[list[int]], None]) -> list[list[int]]:
    """Split a claim into what is worked on together, by index.

    First attempts go together. What was tried before goes one by one and in an order that differs each
    time: should one of them kill the worker, others have been through by then and do not run out of
    attempts with it.
    """
    first = [at for at, attempt in enumerate(attempts) if attempt <= 1]
    again = [at for at, attempt in enumerate(attempts) if attempt > 1]
    shuffle(again)
    return ([first] if first else []) + [[at] for at in again]
