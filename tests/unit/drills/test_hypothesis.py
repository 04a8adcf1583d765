import pytest

from ops.drills import registry
from ops.drills.course import judged
from ops.drills.hypothesis import Hypothesis, Limit, a_gap_of_at_most, no_call_fails, recovered_within
from ops.drills.record import Verdict
from tests.unit.drills.records import FINE, record

HYPOTHESIS = Hypothesis(
    "a healthy platform under 220 calls/s",
    "a service is killed",
    {1: (recovered_within(15),), 3: (no_call_fails(), a_gap_of_at_most(1), recovered_within(15))},
)


def test_a_record_within_every_limit_passes() -> None:
    assert judged(FINE, HYPOTHESIS).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("failed_calls", 1),
        ("longest_error_gap_seconds", 1.01),
        ("recovered_seconds", 15.1),
        ("acknowledged", 999),
        ("lost", 1),
        ("twice", 1),
        ("wrong", 1),
        ("resurrected", 1),
        ("stale_reads", 1),
    ],
)
def test_any_figure_beyond_its_limit_fails_and_says_which(figure: str, value: float) -> None:
    found = judged(record(**{figure: value}), HYPOTHESIS)
    assert found.verdict is Verdict.FAIL
    (broken,) = found.broken
    assert broken.startswith(f"{figure} is {value:g}, and was to be at ")


@pytest.mark.parametrize("figure", ["recovered_seconds", "lost", "stale_reads", "longest_error_gap_seconds"])
def test_what_was_not_measured_fails_too(figure: str) -> None:
    found = judged(record(**{figure: None}), HYPOTHESIS)
    assert found.verdict is Verdict.FAIL
    assert found.broken[0].startswith(f"{figure} was not measured")


def test_a_form_is_held_to_its_own_limits() -> None:
    assert judged(record(zones=1, failed_calls=5), HYPOTHESIS).verdict is Verdict.PASS


def test_what_the_figures_do_not_say_fails_as_well() -> None:
    found = judged(FINE, HYPOTHESIS, ["nothing shows that the fault took place"])
    assert found.verdict is Verdict.FAIL


def test_a_ratio_is_a_figure_like_any_other() -> None:
    limit = Limit("rate_vs_undisturbed", "nearly as fast", at_least=0.7)
    assert limit.broken(record(ratios={"rate_vs_undisturbed": 0.8})) == ""
    assert limit.broken(record(ratios={"rate_vs_undisturbed": 0.6})) == (
        "rate_vs_undisturbed is 0.6, and was to be at least 0.7"
    )
    assert "was not measured" in limit.broken(FINE)


def test_the_sentence_is_made_from_the_limits() -> None:
    assert HYPOTHESIS.sentence(3) == (
        "Given a healthy platform under 220 calls/s in three zones, when a service is killed, then no call "
        "fails, no gap between OK answers is longer than 1 s and all is healthy and the load back at its "
        "rate within 15 s; no other process ends, and of what was acknowledged nothing is lost, doubled, "
        "changed, resurrected or read stale."
    )


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_drill_says_what_it_expects_of_which_form_and_by_when(name: str) -> None:
    drill = registry.drill(name)
    assert drill.name == name
    assert drill.hypothesis.then.keys() <= {1, 3}
    assert all(
        any(limit.figure == "recovered_seconds" for limit in limits)
        for limits in drill.hypothesis.then.values()
    )
    assert drill.hypothesis.sentences().startswith("Given ")


def test_an_unknown_drill_is_refused_by_naming_those_there_are() -> None:
    with pytest.raises(KeyError, match="kill-service"):
        registry.drill("kill-everything")
