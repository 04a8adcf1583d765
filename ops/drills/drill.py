"""What a drill is, as data: a hypothesis, the fault, and the load under which it happens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from ops.drills.faults import MakeFault
from ops.drills.hypothesis import Hypothesis, Limit
from ops.drills.load import Traffic

HEALTHY = "a healthy platform"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the quiet parts of a drill take."""

    even_within: timedelta = timedelta(minutes=3)
    """How long an even load is waited for: what has just started answers slowly, as does a busy machine."""
    before: timedelta = timedelta(seconds=5)
    """So long the load runs evenly right before the injection."""
    after: timedelta = timedelta(seconds=5)
    """From the recovery to the end of the load."""
    give_up: timedelta = timedelta(seconds=90)
    """How long a recovery is waited for, after the fault was mended."""


class CannotRunError(Exception):
    """Raised when a drill can't take place; says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault under an even load, and what must hold all the same."""

    name: str
    when: str
    """What is done, in words."""
    fault: MakeFault
    then: Mapping[int, tuple[Limit, ...]]
    """By the number of zones: what must hold."""
    holds: timedelta = timedelta(0)
    """How long the fault lasts before it is mended."""
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def hypothesis(self) -> Hypothesis:
        """What it shows."""
        given = f"{HEALTHY} under {self.traffic.rate:g} calls/s"
        return Hypothesis(given, self.when, self.then)


def chance_of(seed: int, name: str) -> Random:
    """Where a drill takes its choices from: the same for the same seed."""
    return Random(f"{name}/{seed}")  # noqa: S311  (a drill that can be repeated, not a secret)
