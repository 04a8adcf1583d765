from dataclasses import replace
from datetime import timedelta

import pytest
from grpc import StatusCode

from reverie_client import errors
from reverie_client.retry import NO_RETRY, Failure, RetryPolicy, pause_before_repeat

POLICY = RetryPolicy(first_pause=timedelta(milliseconds=100), longest_pause=timedelta(seconds=1))


def failure(
    error: errors.ReverieError,
    *,
    attempt: int = 1,
    repeatable: bool = True,
    untried: int = 0,
    remaining: float = 10.0,
) -> Failure:
    return Failure(error, attempt, repeatable, untried, remaining)


def overloaded(delay: float) -> errors.Overloaded:
    return errors.Overloaded("busy", retry_delay=timedelta(seconds=delay))


@pytest.mark.parametrize(
    "kind",
    [errors.Unreachable, errors.UnknownOutcome, errors.StoreDown, errors.StoreFull, errors.StalePrimary,
     errors.Draining, errors.PeerUnavailable, errors.Unavailable, errors.Overloaded],
)  # fmt: skip
def test_what_passes_by_itself_is_tried_again(kind: type[errors.ReverieError]) -> None:
    assert pause_before_repeat(failure(kind("?")), POLICY, 0.0) is not None


@pytest.mark.parametrize(
    "kind",
    [errors.InvalidArgument, errors.MemoryExists, errors.MemoryNotFound, errors.EtagMismatch, errors.TooLarge,
     errors.UserForbidden, errors.Unauthenticated, errors.DeadlineExceeded, errors.InternalError,
     errors.StoreRefused, errors.Unimplemented],
)  # fmt: skip
def test_what_would_fail_again_is_not_tried_again(kind: type[errors.ReverieError]) -> None:
    assert pause_before_repeat(failure(kind("?")), POLICY, 0.0) is None


@pytest.mark.parametrize("kind", [errors.Unreachable, errors.UnknownOutcome, errors.StoreDown])
def test_a_call_that_may_not_be_made_twice_is_not_repeated_when_it_may_have_happened(
    kind: type[errors.ReverieError],
) -> None:
    assert pause_before_repeat(failure(kind("?"), repeatable=False), POLICY, 0.0) is None


@pytest.mark.parametrize("kind", [errors.Overloaded, errors.Draining])
def test_a_call_that_was_refused_before_it_began_is_always_repeated(kind: type[errors.ReverieError]) -> None:
    assert pause_before_repeat(failure(kind("?"), repeatable=False), POLICY, 0.0) is not None


def test_pauses_double_up_to_the_longest() -> None:
    error = errors.StoreDown("?", code=StatusCode.UNAVAILABLE)
    pauses = [pause_before_repeat(failure(error, attempt=n), POLICY, 0.0) for n in (1, 2, 3, 4, 5, 500)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_chance_shortens_a_pause_by_up_to_a_half() -> None:
    error = errors.StoreDown("?")
    assert pause_before_repeat(failure(error), POLICY, 1.0) == pytest.approx(0.05)


def test_the_delay_that_the_service_asks_for_is_kept_and_spread() -> None:
    assert pause_before_repeat(failure(overloaded(2.0)), POLICY, 0.0) == 2.0
    assert pause_before_repeat(failure(overloaded(2.0)), POLICY, 1.0) == 2.5


def test_nothing_is_repeated_beyond_the_deadline() -> None:
    assert pause_before_repeat(failure(overloaded(2.0), remaining=1.9), POLICY, 0.0) is None
    assert pause_before_repeat(failure(errors.StoreDown("?"), remaining=0.0), POLICY, 0.0) is None


def test_another_edge_is_asked_at_once_where_nothing_answered() -> None:
    unreachable = failure(errors.Unreachable("?"), untried=1)
    assert pause_before_repeat(unreachable, POLICY, 0.0) == 0.0
    assert pause_before_repeat(replace(unreachable, untried_edges=0), POLICY, 0.0) == 0.1


def test_the_number_of_attempts_can_be_bounded() -> None:
    assert pause_before_repeat(failure(overloaded(0.1)), NO_RETRY, 0.0) is None
    twice = RetryPolicy(attempts=2)
    assert pause_before_repeat(failure(overloaded(0.1), attempt=1), twice, 0.0) is not None
    assert pause_before_repeat(failure(overloaded(0.1), attempt=2), twice, 0.0) is None
