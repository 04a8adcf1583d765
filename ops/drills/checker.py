"""Compares a journal with what is there, and names every promise that was broken. Pure.

check(journal, there) -> findings; no findings: everything is there as it was acknowledged, once
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from ops.drills.journal import History, Journal, Outcome, Sighting


class Damage(StrEnum):
    """How a promise can be broken."""

    LOST = "lost"
    """What was acknowledged is absent."""
    TWICE = "twice"
    """What one operation made stands under two ids, or is listed twice."""
    WRONG = "wrong"
    """It is there in a state that no allowed operation leaves, or nobody sent it."""
    RESURRECTED = "resurrected"
    """Its deletion was acknowledged, and it can be read."""
    STALE = "stale"
    """A read that carried a token showed less than the token promises."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A memory that is there when all is over."""

    user: str
    id: UUID
    mark: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise."""

    damage: Damage
    id: UUID
    detail: str

    def __str__(self) -> str:
        return f"{self.damage.value}: {self.id} {self.detail}"


def check(journal: Journal, there: Iterable[Seen]) -> list[Finding]:
    """Every broken promise, each once. Nothing may be under way any more."""
    by_id: dict[UUID, list[Seen]] = defaultdict(list)
    for seen in there:
        by_id[seen.id].append(seen)
    findings = [
        finding
        for history in journal.histories.values()
        if (finding := _verdict(history, by_id.get(history.id, ())))
    ]
    findings += _listed_twice(by_id)
    findings += _strangers(journal, by_id)
    findings += _seen_by_reads(journal)
    return findings


def count(findings: Iterable[Finding]) -> dict[Damage, int]:
    """How many findings there are of each kind."""
    counted = Counter(finding.damage for finding in findings)
    return {damage: counted[damage] for damage in Damage}


def _verdict(history: History, there: Sequence[Seen]) -> Finding | None:
    """What is wrong with one memory that clients know of."""
    allowed = set(history.states_since(history.promised))
    found = there[0].digest if there else None
    if there and there[0].user != history.user:
        return Finding(Damage.WRONG, history.id, f"is {history.user}'s, and {there[0].user} sees it")
    if found in allowed:
        return None
    if found is None:
        return Finding(Damage.LOST, history.id, f"of {history.user} is not there: {_told(history)}")
    if _was_deleted(history):
        return Finding(Damage.RESURRECTED, history.id, f"of {history.user} is there: {_told(history)}")
    return Finding(Damage.WRONG, history.id, f"of {history.user} is in another state: {_told(history)}")


def _was_deleted(history: History) -> bool:
    """Whether what was acknowledged last is a deletion."""
    return history.promised >= 0 and history.operations[history.promised].digest is None


def _told(history: History) -> str:
    return ", ".join(f"{one.kind.value} {one.outcome.value}" for one in history.operations[-3:])


def _listed_twice(by_id: dict[UUID, list[Seen]]) -> Iterator[Finding]:
    for id_, listed in by_id.items():
        for _ in listed[1:]:
            yield Finding(Damage.TWICE, id_, "is listed twice")


def _strangers(journal: Journal, by_id: dict[UUID, list[Seen]]) -> Iterator[Finding]:
    """What is there under ids that no client chose."""
    marks = {history.mark: history.id for history in journal.histories.values()}
    for id_ in by_id.keys() - journal.histories.keys():
        mark = by_id[id_][0].mark
        if marks.get(mark) in by_id:
            yield Finding(Damage.TWICE, id_, f"says the same as {marks[mark]}")
        else:
            yield Finding(Damage.WRONG, id_, f"({mark}) is there, and nobody sent it")


def _seen_by_reads(journal: Journal) -> Iterator[Finding]:
    for sighting in journal.sightings:
        history = journal.histories[sighting.id]
        if sighting.digest not in history.states_since(sighting.promised):
            yield _misread(history, sighting)


def _misread(history: History, sighting: Sighting) -> Finding:
    when = f"at {sighting.at:.3f} s"
    if sighting.digest is None:
        return Finding(Damage.STALE, history.id, f"was not shown {when}: {_told(history)}")
    earlier = history.operations[: max(sighting.promised, 0)]
    if sighting.digest in {one.digest for one in earlier if one.outcome is not Outcome.REFUSED}:
        return Finding(Damage.STALE, history.id, f"was shown {when} as it had been: {_told(history)}")
    return Finding(Damage.WRONG, history.id, f"was shown {when} as nobody left it: {_told(history)}")
