"""A hypothesis: what is given, what is done, and what must then hold, each with its bound. Pure.

The sentence that a person reads is made from the very limits that decide, so the two can't differ.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ops.drills.record import Record

_ENOUGH = 1000
"""Acknowledged calls below which nothing was shown."""
_ZONES = {1: "one zone", 3: "three zones"}


@dataclass(frozen=True, slots=True)
class Limit:
    """What one figure of the record may be at most, or must be at least."""

    figure: str
    """Its name in the record, or in `ratios`."""
    words: str
    """The limit as an operator says it."""
    at_most: float | None = None
    at_least: float | None = None

    def broken(self, record: Record) -> str:
        """How a record breaks it; empty if it does not. What was not measured breaks it."""
        value = record.ratios.get(self.figure, getattr(record, self.figure, None))
        if value is None:
            return f"{self.figure} was not measured, and was to be {self._bound}"
        over = self.at_most is not None and value > self.at_most
        under = self.at_least is not None and value < self.at_least
        return f"{self.figure} is {value:g}, and was to be {self._bound}" if over or under else ""

    @property
    def _bound(self) -> str:
        return f"at most {self.at_most:g}" if self.at_most is not None else f"at least {self.at_least:g}"


def no_call_fails() -> Limit:
    """Every call is answered OK within its deadline."""
    return Limit("failed_calls", "no call fails", at_most=0)


def a_gap_of_at_most(seconds: float) -> Limit:
    """Somebody gets an OK answer at least so often."""
    return Limit(
        "longest_error_gap_seconds",
        f"no gap between OK answers is longer than {seconds:g} s",
        at_most=seconds,
    )


def recovered_within(seconds: float, since: str = "") -> Limit:
    """Counted from the injection, unless the words say otherwise."""
    return Limit(
        "recovered_seconds",
        f"all is healthy and the load back at its rate within {seconds:g} s {since}".rstrip(),
        at_most=seconds,
    )


NOTHING_IS_BROKEN = (
    Limit("acknowledged", f"{_ENOUGH:,} calls or more are acknowledged", at_least=_ENOUGH),
    Limit("lost", "nothing acknowledged is lost", at_most=0),
    Limit("twice", "nothing is there twice", at_most=0),
    Limit("wrong", "nothing is wrong", at_most=0),
    Limit("resurrected", "nothing deleted comes back", at_most=0),
    Limit("stale_reads", "no read shows less than its token promises", at_most=0),
)
"""What holds in every drill."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What is expected of a platform, by its form."""

    given: str
    when: str
    then: Mapping[int, tuple[Limit, ...]]
    """By the number of zones: what must hold beside `NOTHING_IS_BROKEN`."""

    def sentence(self, zones: int) -> str:
        """For one form."""
        limits = [limit.words for limit in self.then[zones]]
        return f"Given {self.given} in {_ZONES[zones]}, when {self.when}, then {_listed(limits)}; {_ALWAYS}."

    def sentences(self) -> str:
        """For all forms."""
        if len(set(self.then.values())) == 1:
            zones = max(self.then)
            return self.sentence(zones).replace(
                _ZONES[zones], " or ".join(_ZONES[form] for form in sorted(self.then))
            )
        forms = (
            f"in {_ZONES[zones]} {_listed([limit.words for limit in limits])}"
            for zones, limits in sorted(self.then.items())
        )
        return f"Given {self.given}, when {self.when}, then {'; '.join(forms)}; {_ALWAYS}."

    def broken(self, record: Record) -> Iterator[str]:
        """How a record contradicts it."""
        for limit in (*self.then[record.zones], *NOTHING_IS_BROKEN):
            if contradiction := limit.broken(record):
                yield contradiction


def _listed(parts: list[str]) -> str:
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]


_ALWAYS = (
    "no other process ends, and of what was acknowledged nothing is lost, doubled, changed, resurrected or "
    "read stale"
)
