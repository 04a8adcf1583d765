from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import assume, given

from ops.drills.checker import Damage, Seen, check, count
from ops.drills.journal import History, Journal, Kind, Outcome
from tests.unit.drills.accounts import Account, accounts

ID, OTHER = UUID(int=1), UUID(int=2)


@given(accounts())
def test_a_store_that_keeps_its_promises_is_never_accused(account: Account) -> None:
    assert check(account.journal, account.there()) == []


@given(accounts())
def test_what_is_lost_is_found(account: Account) -> None:
    there = account.there()
    victim = _certain(account, there)
    findings = check(account.journal, [seen for seen in there if seen.id != victim.id])
    assert [(one.damage, one.id) for one in findings] == [(Damage.LOST, victim.id)]


@given(accounts())
def test_what_is_changed_is_found(account: Account) -> None:
    there = account.there()
    victim = _certain(account, there)
    damaged = [replace(seen, digest=b"another") if seen.id == victim.id else seen for seen in there]
    assert [(one.damage, one.id) for one in check(account.journal, damaged)] == [(Damage.WRONG, victim.id)]


@given(accounts())
def test_a_state_that_was_overwritten_is_wrong(account: Account) -> None:
    there = account.there()
    victim = next((seen for seen in there if _overwritten(account.journal.histories[seen.id])), None)
    assume(victim is not None)
    assert victim is not None
    old = _overwritten(account.journal.histories[victim.id])[0]
    damaged = [replace(seen, digest=old) if seen.id == victim.id else seen for seen in there]
    assert [(one.damage, one.id) for one in check(account.journal, damaged)] == [(Damage.WRONG, victim.id)]


@given(accounts())
def test_what_stands_under_two_ids_is_found(account: Account) -> None:
    there = account.there()
    assume(there)
    damaged = [*there, replace(there[0], id=UUID(int=99))]
    assert [(one.damage, one.id) for one in check(account.journal, damaged)] == [(Damage.TWICE, UUID(int=99))]


@given(accounts())
def test_what_is_listed_twice_is_found(account: Account) -> None:
    there = account.there()
    assume(there)
    findings = check(account.journal, [*there, there[0]])
    assert [(one.damage, one.id) for one in findings] == [(Damage.TWICE, there[0].id)]


@given(accounts())
def test_what_comes_back_after_its_deletion_is_found(account: Account) -> None:
    gone = [one for one in account.clients if _is_deleted(account.journal.histories[one.id])]
    assume(gone)
    back = Seen(gone[0].user, gone[0].id, gone[0].mark, b"any")
    findings = check(account.journal, [*account.there(), back])
    assert [(one.damage, one.id) for one in findings] == [(Damage.RESURRECTED, gone[0].id)]


@given(accounts())
def test_a_read_that_shows_less_than_its_token_promises_is_found(account: Account) -> None:
    journal = account.journal
    behind = [one for one in journal.histories.values() if _overwritten(one)]
    assume(behind)
    history = behind[0]
    journal.saw(history.id, history.promised, _overwritten(history)[0], 1.0)
    findings = check(journal, account.there())
    assert [(one.damage, one.id) for one in findings] == [(Damage.STALE, history.id)]


@given(accounts())
def test_a_read_that_does_not_show_what_its_token_promises_is_found(account: Account) -> None:
    victim = _certain(account, account.there())
    history = account.journal.histories[victim.id]
    account.journal.saw(victim.id, history.promised, None, 1.0)
    findings = check(account.journal, account.there())
    assert [(one.damage, one.id) for one in findings] == [(Damage.STALE, victim.id)]


def test_what_was_refused_must_not_be_there() -> None:
    journal = _journal((Kind.CREATE, b"1", Outcome.REFUSED))
    assert check(journal, []) == []
    assert _damages(journal, [Seen("ada", ID, "talk/1", b"1")]) == [Damage.WRONG]


def test_what_has_an_unknown_outcome_may_be_there_or_not_but_never_half() -> None:
    journal = _journal((Kind.CREATE, b"1", Outcome.UNKNOWN))
    assert check(journal, []) == []
    assert check(journal, [Seen("ada", ID, "talk/1", b"1")]) == []
    assert _damages(journal, [Seen("ada", ID, "talk/1", b"half")]) == [Damage.WRONG]


def test_a_memory_that_another_user_sees_is_wrong() -> None:
    journal = _journal((Kind.CREATE, b"1", Outcome.OK))
    assert _damages(journal, [Seen("bela", ID, "talk/1", b"1")]) == [Damage.WRONG]


def test_what_nobody_sent_is_wrong() -> None:
    journal = _journal((Kind.CREATE, b"1", Outcome.OK))
    there = [Seen("ada", ID, "talk/1", b"1"), Seen("ada", OTHER, "talk/2", b"2")]
    assert _damages(journal, there) == [Damage.WRONG]


def test_a_read_that_shows_what_nobody_wrote_is_wrong() -> None:
    journal = _journal((Kind.CREATE, b"1", Outcome.OK))
    journal.saw(ID, 0, b"half", 1.0)
    assert _damages(journal, [Seen("ada", ID, "talk/1", b"1")]) == [Damage.WRONG]


def test_findings_are_counted_by_kind_and_kinds_without_any_are_0() -> None:
    counted = count(check(_journal((Kind.CREATE, b"1", Outcome.OK)), []))
    assert counted == dict.fromkeys(Damage, 0) | {Damage.LOST: 1}


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.REFUSED])
def test_a_finding_says_what_clients_were_told(outcome: Outcome) -> None:
    journal = _journal((Kind.CREATE, b"1", Outcome.OK), (Kind.UPDATE, b"2", outcome))
    (finding,) = check(journal, [Seen("ada", ID, "talk/1", b"3")])
    assert f"create ok, update {outcome.value}" in str(finding)


def _journal(*operations: tuple[Kind, bytes | None, Outcome]) -> Journal:
    journal = Journal()
    for kind, digest, outcome in operations:
        journal.end(journal.begin("ada", ID, kind, digest, "talk/1", 0.0), outcome, 0.0)
    return journal


def _damages(journal: Journal, there: list[Seen]) -> list[Damage]:
    return [finding.damage for finding in check(journal, there)]


def _certain(account: Account, there: list[Seen]) -> Seen:
    """A memory that must be there, whatever became of what has an unknown outcome."""
    fits: Callable[[History], bool] = lambda history: None not in {*history.states_since(history.promised)}  # noqa: E731
    found = next((seen for seen in there if fits(account.journal.histories[seen.id])), None)
    assume(found is not None)
    assert found is not None
    return found


def _overwritten(history: History) -> list[bytes]:
    """States that an acknowledged operation has put an end to."""
    allowed = {*history.states_since(history.promised)}
    earlier = history.operations[: max(history.promised, 0)]
    return [
        one.digest
        for one in earlier
        if one.digest is not None and one.outcome is Outcome.OK and None not in allowed
    ]


def _is_deleted(history: History) -> bool:
    return history.promised >= 0 and history.operations[history.promised].digest is None
