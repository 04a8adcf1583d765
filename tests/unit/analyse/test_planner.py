"""Promises of the worker's plan."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyse.planner import MAX_CLAIM, Claim, Key, Pace, Planner, Wait, isolated

PACE = Pace()
QUICK = PACE.gather_seconds / PACE.gather_claims / 2
"""Seconds a claim takes on an idle platform."""


def planner(pace: Pace = PACE, random: Callable[[], float] = lambda: 0.5) -> Planner:
    return Planner(pace, random)


def idle(pace: Pace = PACE, random: Callable[[], float] = lambda: 0.5) -> Planner:
    plan = planner(pace, random)
    plan.next()
    plan.claimed(0, QUICK)
    return plan


def keys(count: int) -> list[Key]:
    return [Key(b"o" * 16, n.to_bytes(16, "big")) for n in range(count)]


def test_a_worker_claims_as_soon_as_it_starts() -> None:
    assert planner().next() == Claim(PACE.first_limit, ())


def test_it_claims_again_while_it_finds_all_that_it_asks_for_and_then_waits() -> None:
    plan = planner()
    plan.next()
    plan.claimed(PACE.first_limit, QUICK)
    assert isinstance(plan.next(), Claim)
    plan.claimed(PACE.first_limit - 1, QUICK)
    assert isinstance(plan.next(), Wait)


def test_after_work_that_was_all_there_was_it_lets_more_gather_before_it_listens() -> None:
    plan = planner()
    plan.next()
    plan.claimed(3, QUICK)
    assert plan.next() == Wait(PACE.gather_seconds, deaf=True)
    listening = plan.next()
    assert isinstance(listening, Wait)
    assert not listening.deaf


def test_a_worker_leaves_a_busy_platform_alone_for_longer_but_never_longer_than_it_waits_for_hints() -> None:
    for claim_seconds, pause in ((0.02, 0.4), (0.07, 1.4), (3.0, PACE.poll_seconds)):
        plan = planner()
        plan.next()
        plan.claimed(3, claim_seconds)
        step = plan.next()
        assert isinstance(step, Wait)
        assert step.deaf
        assert step.seconds == pytest.approx(pause)


def test_a_backlog_is_worked_off_without_pauses_however_busy_the_platform_is() -> None:
    plan = planner()
    plan.next()
    plan.claimed(PACE.first_limit, 3.0)
    assert isinstance(plan.next(), Claim)


def test_who_found_nothing_listens_at_once_so_that_a_single_memory_does_not_wait() -> None:
    step = idle().next()
    assert isinstance(step, Wait)
    assert not step.deaf


def test_hints_end_the_wait_and_are_looked_at_first() -> None:
    plan = idle()
    plan.hinted(keys(3))
    assert plan.next() == Claim(PACE.first_limit, tuple(keys(3)))


def test_silence_ends_the_wait_with_a_claim_without_hints() -> None:
    plan = idle()
    plan.hinted([])
    assert plan.next() == Claim(PACE.first_limit, ())


def test_many_hints_are_taken_over_several_claims() -> None:
    plan = idle()
    plan.hinted(keys(MAX_CLAIM + 1))
    first = plan.next()
    plan.claimed(0, QUICK)
    second = plan.next()
    assert isinstance(first, Claim)
    assert isinstance(second, Claim)
    assert (len(first.hints), len(second.hints)) == (MAX_CLAIM, 1)


def test_workers_do_not_wait_in_step() -> None:
    shortest, longest = idle(random=lambda: 0.0).next(), idle(random=lambda: 1.0).next()
    assert isinstance(shortest, Wait)
    assert isinstance(longest, Wait)
    assert shortest.seconds < PACE.poll_seconds < longest.seconds <= 2 * PACE.poll_seconds


def test_pauses_after_failures_double_up_to_a_limit() -> None:
    plan, pauses = planner(random=lambda: 1.0), []
    for _ in range(10):
        plan.next()
        plan.failed()
        pause = plan.next()
        assert isinstance(pause, Wait)
        assert pause.deaf
        pauses.append(pause.seconds)
    assert pauses[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert pauses[-1] == PACE.max_backoff_seconds


def test_after_a_pause_it_claims_again_and_a_success_ends_the_pauses() -> None:
    plan = planner()
    plan.next()
    plan.failed()
    plan.next()
    assert isinstance(plan.next(), Claim)
    plan.claimed(0, QUICK)
    step = plan.next()
    assert isinstance(step, Wait)
    assert not step.deaf


def test_pauses_grow_while_claims_are_answered_and_their_results_are_not_taken() -> None:
    plan, pauses = planner(random=lambda: 1.0), []
    for _ in range(4):
        assert isinstance(plan.next(), Claim)
        plan.claimed(3, QUICK)
        plan.worked(3, 0.1)
        plan.failed()
        pause = plan.next()
        assert isinstance(pause, Wait)
        pauses.append(pause.seconds)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_a_claim_whose_results_are_taken_ends_the_pauses() -> None:
    plan = planner(random=lambda: 1.0)
    for well in (False, False, True, False):
        assert isinstance(plan.next(), Claim)
        plan.claimed(PACE.first_limit, QUICK)
        if not well:
            plan.failed()
            pause = plan.next()
    assert isinstance(pause, Wait)
    assert pause.seconds == pytest.approx(PACE.backoff_seconds)


@given(st.integers(1, 10_000), st.floats(1e-6, 100))
def test_a_claim_is_what_can_be_done_in_a_batchs_time(items: int, seconds: float) -> None:
    plan = planner()
    plan.worked(items, seconds)
    assert PACE.min_limit <= plan.limit <= MAX_CLAIM
    if PACE.min_limit < plan.limit < MAX_CLAIM:
        assert plan.limit == pytest.approx(items / seconds * PACE.batch_seconds, abs=1)


@given(st.lists(st.integers(1, 5)))
def test_every_claimed_analysis_is_in_one_group_and_tried_ones_are_alone(attempts: list[int]) -> None:
    groups = isolated(attempts, lambda order: order.reverse())
    assert sorted(at for group in groups for at in group) == list(range(len(attempts)))
    assert all(len(group) == 1 or all(attempts[at] == 1 for at in group) for group in groups)
    assert [attempts[group[0]] for group in groups if attempts[group[0]] > 1] == [
        attempt for attempt in reversed(attempts) if attempt > 1
    ]
