"""What became of the memories of an import."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ops.cli.formats.entry import Broken
from reverie_client import Outcome, errors
from reverie_client.retry import PASSING

KEPT = 1000
"""How many broken places a report lists; every one is told while it runs, and counted."""


@dataclass(slots=True)
class Tally:
    """Counts as outcomes come in, and tells of each broken place at once."""

    tell: Callable[[str], None]
    added: int = 0
    there: int = 0
    """Was there already, with the same content."""
    deleted: int = 0
    """Was deleted before: an import does not bring it back."""
    missed: int = 0
    """Did not go in for now, through no fault of theirs: the same import again may take them."""
    broken: int = 0
    listed: list[Broken] = field(default_factory=list)

    @property
    def settled(self) -> int:
        """How many have come in so far."""
        return self.added + self.there + self.deleted + self.missed + self.broken

    def take_broken(self, entry: Broken) -> None:
        """A place in the file that can't be read, or whose memory was refused."""
        self.broken += 1
        if len(self.listed) < KEPT:
            self.listed.append(entry)
        self.tell(f"{entry.where} {entry.reason}")

    def take(self, where: str, outcome: Outcome, revision_before: int) -> None:
        """A memory that the platform has answered for."""
        if outcome.created is not None:
            is_new = outcome.created.revision > revision_before
            self.added += is_new
            self.there += not is_new
        elif isinstance(outcome.error, errors.MemoryDeleted):
            self.deleted += 1
        elif isinstance(outcome.error, errors.MemoryExists):
            self.take_broken(Broken(where, "is there already with other content: give it another key"))
        elif isinstance(outcome.error, (*PASSING, errors.DeadlineExceeded)):
            self.missed += 1
            self.tell(f"{where} did not go in: {outcome.error}")
        else:
            self.take_broken(Broken(where, f"was refused: {outcome.error}"))


@dataclass(frozen=True, slots=True)
class Report:
    """How an import went."""

    file: str
    users: tuple[str, ...]
    tally: Tally
    seconds: float
    stopped: str = ""
    """Why it stopped before the end; empty if it did not."""
    analysed_after: float | None = None
    """Seconds from the beginning until everything was analysed, if that was waited for."""
    dead: int = 0
    """Analyses that were given up, if that was waited for."""

    @property
    def failed(self) -> bool:
        """Whether something did not go in, or could not be analysed."""
        return bool(self.tally.missed or self.tally.broken or self.stopped or self.dead)

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "file": self.file,
            "users": list(self.users),
            "added": self.tally.added,
            "already_there": self.tally.there,
            "deleted_before": self.tally.deleted,
            "missed": self.tally.missed,
            "broken": self.tally.broken,
            "errors": [{"where": each.where, "reason": each.reason} for each in self.tally.listed],
            "stopped": self.stopped or None,
            "seconds": round(self.seconds, 3),
            "analysed_after_seconds": None if self.analysed_after is None else round(self.analysed_after, 3),
            "dead": self.dead,
        }

    def lines(self) -> Iterator[str]:
        """For a person."""
        tally = self.tally
        others = {
            "already there": tally.there,
            "deleted before": tally.deleted,
            "missed": tally.missed,
            "broken": tally.broken,
        }
        counts = ", ".join([f"{tally.added:,} added", *(f"{n:,} {name}" for name, n in others.items() if n)])
        yield f"{self.file}: {counts}, in {self.seconds:.1f} s ({', '.join(self.users) or 'nobody'})"
        if self.analysed_after is not None:
            yield f"everything is analysed after {self.analysed_after:.1f} s"
        if self.dead:
            yield f"{self.dead:,} could not be analysed: `reverie dlq list` says why"
        if self.stopped:
            yield f"stopped: {self.stopped}; what is in stays in: type the same command again to go on"
        elif tally.missed:
            yield f"{tally.missed:,} did not go in for now: type the same command again"
