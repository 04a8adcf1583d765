import signal
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ops.local import lifecycle
from ops.local.lifecycle import (
    ALIVE,
    OPEN,
    Action,
    Event,
    Exited,
    Held,
    Phase,
    Proven,
    Ready,
    Restarted,
    Send,
    Spawn,
    Ticked,
    Unfit,
    Unwanted,
    Wanted,
)
from ops.local.process import PlanError, ProcessSpec, RestartPolicy, ordered


async def _never() -> bool:
    return False


def spec(name: str, *depends_on: str, **more: Any) -> ProcessSpec:
    return ProcessSpec(name, (name,), depends_on=depends_on, **{"probe": _never, **more})


def one_shot(name: str, *depends_on: str, **more: Any) -> ProcessSpec:
    return spec(name, *depends_on, probe=None, **more)


class Machine:
    """Takes events, collects actions, keeps the time."""

    def __init__(self, *specs: ProcessSpec) -> None:
        self.specs = {one.name: one for one in ordered(specs)}
        self.state = lifecycle.initial(self.specs)
        self.now = 100.0
        self.log: list[Action] = []

    def take(self, *events: Event) -> list[Action]:
        done: list[Action] = []
        for event in events:
            self.state, actions = lifecycle.step(self.specs, self.state, event, self.now)
            done += actions
        self.log += done
        return done

    def want_all(self) -> list[Action]:
        return self.take(Wanted(tuple(self.specs)))

    def unwant_all(self) -> list[Action]:
        return self.take(Unwanted(tuple(self.specs)))

    def after(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self.take(Ticked())

    def phase(self, name: str) -> Phase:
        return self.state[name].phase


def died(name: str, reason: str = "killed by SIGKILL") -> Exited:
    return Exited(name, well=False, reason=reason)


def ended(name: str) -> Exited:
    return Exited(name, well=True, reason="ended with exit code 0")


def test_a_process_starts_once_all_that_it_depends_on_is_ready() -> None:
    machine = Machine(spec("store"), spec("mesh"), spec("service", "store", "mesh"))
    assert machine.want_all() == [Spawn("store"), Spawn("mesh")]
    assert machine.take(Ready("store")) == []
    assert machine.take(Ready("mesh")) == [Spawn("service")]
    assert not machine.state.is_ready
    machine.take(Ready("service"))
    assert machine.state.is_ready


def test_a_one_shot_opens_the_gate_when_it_ended_well() -> None:
    machine = Machine(one_shot("migrate"), spec("storage", "migrate"))
    machine.want_all()
    assert machine.take(ended("migrate")) == [Spawn("storage")]
    assert machine.phase("migrate") is Phase.DONE


def test_a_one_shot_that_failed_is_tried_again() -> None:
    machine = Machine(one_shot("migrate"), spec("storage", "migrate"))
    machine.want_all()
    assert machine.take(died("migrate")) == []
    assert machine.after(0.05) == [Spawn("migrate")]


def test_what_dies_starts_again_though_its_dependency_is_away() -> None:
    machine = Machine(spec("store"), spec("service", "store"))
    machine.want_all()
    machine.take(Ready("store"), Ready("service"), died("store"), died("service"))
    assert set(machine.after(0.05)) == {Spawn("store"), Spawn("service")}
    assert machine.state["service"].restarts == 1


def test_what_is_held_is_killed_in_no_order_and_stays_dead_until_it_is_wanted() -> None:
    machine = Machine(spec("store"), spec("service", "store"), spec("other"))
    machine.want_all()
    machine.take(Ready("store"), Ready("service"), Ready("other"))
    both = ("store", "service")
    assert machine.take(Held(both)) == [Send("store", signal.SIGKILL), Send("service", signal.SIGKILL)]
    assert machine.take(Held(both)) == [Send("store", signal.SIGKILL), Send("service", signal.SIGKILL)]
    machine.take(died("service"), died("store"))
    assert machine.after(1000) == []
    assert machine.state.is_ready
    assert [machine.phase(name) for name in (*both, "other")] == [Phase.STOPPED, Phase.STOPPED, Phase.READY]
    assert machine.take(Wanted(both)) == [Spawn("store"), Spawn("service")]
    assert machine.state["service"].restarts == 0


def test_what_waits_to_start_again_does_not_when_it_is_held() -> None:
    machine = Machine(spec("service"))
    machine.want_all()
    machine.take(Ready("service"), died("service"), Held(("service",)))
    assert machine.phase("service") is Phase.STOPPED
    assert machine.after(1000) == []


def test_pauses_between_restarts_double_up_to_a_bound() -> None:
    policy = RestartPolicy(first=timedelta(seconds=1), longest=timedelta(seconds=5))
    assert [policy.pause(failures).total_seconds() for failures in (1, 2, 3, 4, 400)] == [1, 2, 4, 5, 5]


def test_a_crash_loop_is_given_up_with_its_reason() -> None:
    machine = Machine(spec("service", restart=RestartPolicy(attempts=3)))
    machine.want_all()
    for _ in range(3):
        machine.take(died("service", "ended with exit code 7"))
        machine.after(5)
    assert machine.state.failed == ("service",)
    assert machine.state["service"].reason == "ended with exit code 7 (3 times in a row)"
    assert machine.after(1000) == []


def test_after_the_start_nothing_is_given_up_and_is_tried_every_few_seconds() -> None:
    machine = Machine(spec("service", restart=RestartPolicy(attempts=3)))
    machine.want_all()
    machine.take(Ready("service"), Proven())
    for _ in range(50):
        machine.take(died("service"))
        assert machine.phase("service") is Phase.BACKOFF
        assert machine.after(5) == [Spawn("service")]


def test_failures_are_forgiven_once_it_was_ready_for_a_while() -> None:
    machine = Machine(spec("service", restart=RestartPolicy(attempts=3)))
    machine.want_all()
    for _ in range(20):
        machine.take(Ready("service"))
        machine.after(5)
        machine.take(died("service"))
        assert machine.after(0.05) == [Spawn("service")]


def test_being_ready_for_a_moment_forgives_nothing() -> None:
    machine = Machine(spec("service", restart=RestartPolicy(attempts=3)))
    machine.want_all()
    for _ in range(3):
        machine.after(1)
        machine.take(Ready("service"))
        machine.after(4.9)
        machine.take(died("service"))
    assert machine.state.failed == ("service",)


def test_what_was_given_up_gets_another_chance_when_somebody_asks() -> None:
    machine = Machine(spec("service", restart=RestartPolicy(attempts=1)))
    machine.want_all()
    machine.take(died("service"))
    assert machine.phase("service") is Phase.FAILED
    assert machine.take(Wanted(("service",))) == [Spawn("service")]
    assert machine.state["service"].failures == 0


def test_a_process_that_is_late_to_be_ready_is_killed_and_counts_as_failed() -> None:
    machine = Machine(spec("service", start_within=timedelta(seconds=3)))
    machine.want_all()
    assert machine.after(3) == [Send("service", signal.SIGKILL)]
    assert machine.after(3) == []
    machine.take(died("service"))
    assert machine.phase("service") is Phase.BACKOFF
    assert machine.state["service"].reason == "not ready within 3 s"


def test_a_process_that_says_it_will_never_be_ready_is_killed_at_once() -> None:
    machine = Machine(spec("valkey"))
    machine.want_all()
    assert machine.take(Unfit("valkey", "wrong password")) == [Send("valkey", signal.SIGKILL)]
    machine.take(died("valkey"))
    assert machine.state["valkey"].reason == "wrong password"


def test_a_late_answer_of_a_probe_changes_nothing() -> None:
    machine = Machine(spec("service"))
    machine.want_all()
    machine.take(died("service"), Ready("service"), Unfit("service", "late"))
    assert machine.phase("service") is Phase.BACKOFF


def test_all_stop_in_reverse_order_each_when_what_needs_it_has_ended() -> None:
    machine = Machine(spec("proxy"), spec("storage"), spec("ingest", outlived_by=("storage", "proxy")))
    machine.want_all()
    machine.take(Ready("proxy"), Ready("storage"), Ready("ingest"))
    assert machine.unwant_all() == [Send("ingest", signal.SIGTERM)]
    assert set(machine.take(ended("ingest"))) == {
        Send("storage", signal.SIGTERM),
        Send("proxy", signal.SIGTERM),
    }
    machine.take(ended("storage"), ended("proxy"))
    assert machine.state.is_over


def test_stopping_one_process_leaves_those_that_need_it() -> None:
    machine = Machine(spec("store"), spec("service", "store"))
    machine.want_all()
    machine.take(Ready("store"), Ready("service"))
    assert machine.take(Unwanted(("store",))) == [Send("store", signal.SIGTERM)]
    machine.take(ended("store"))
    assert machine.phase("store") is Phase.STOPPED
    assert machine.phase("service") is Phase.READY


def test_what_does_not_end_in_its_grace_is_killed() -> None:
    machine = Machine(spec("service", grace=timedelta(seconds=2)))
    machine.want_all()
    machine.take(Ready("service"))
    machine.unwant_all()
    assert machine.after(1.9) == []
    assert machine.after(0.1) == [Send("service", signal.SIGKILL)]
    assert machine.after(100) == []


def test_stopping_while_starting_ends_what_lives_and_starts_nothing_more() -> None:
    machine = Machine(spec("store"), spec("service", "store"))
    machine.want_all()
    assert machine.unwant_all() == [Send("store", signal.SIGTERM)]
    machine.take(Ready("store"), ended("store"))
    assert machine.state.is_over
    assert Spawn("service") not in machine.log


def test_a_restart_stops_and_starts_and_counts_no_failure() -> None:
    machine = Machine(spec("store"), spec("service", "store"))
    machine.want_all()
    machine.take(Ready("store"), Ready("service"))
    assert machine.take(Restarted("store")) == [Send("store", signal.SIGTERM)]
    assert machine.take(ended("store")) == [Spawn("store")]
    assert machine.state["store"].failures == 0
    assert machine.state["store"].restarts == 0


def test_wanting_what_is_stopping_starts_it_again_when_it_has_stopped() -> None:
    machine = Machine(spec("service"))
    machine.want_all()
    machine.take(Ready("service"))
    machine.unwant_all()
    assert machine.want_all() == []
    assert machine.take(ended("service")) == [Spawn("service")]


def test_a_list_that_waits_for_itself_is_refused() -> None:
    with pytest.raises(PlanError, match="wait for each other"):
        ordered((spec("a", "b"), spec("b", "a")))
    with pytest.raises(PlanError, match="wait for each other, or for unknown ones: a"):
        ordered((spec("a", "nobody"),))
    with pytest.raises(PlanError, match="more than one process is called a"):
        ordered((spec("a"), spec("a")))


NAMES = ("store", "migrate", "mesh", "proxy", "storage", "ingest")
SPECS = (
    spec("store", grace=timedelta(seconds=5)),
    one_shot("migrate", "store"),
    spec("mesh"),
    spec("proxy", "mesh"),
    spec("storage", "migrate", outlived_by=("proxy", "store")),
    spec("ingest", outlived_by=("proxy", "storage")),
)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens in whatever order, what is promised about processes holds."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(*SPECS)
        self.alive: set[str] = set()
        self.killed: set[str] = set()
        self.opened: set[str] = set()

    def take(self, event: Event) -> None:
        actions = self.machine.take(event)
        self.opened |= {name for name in NAMES if self.machine.phase(name) in OPEN}
        for action in actions:
            match action:
                case Spawn(name):
                    assert name not in self.alive, "spawned twice"
                    assert self.machine.state[name].wanted, "spawned though nobody wants it"
                    missing = set(self.machine.specs[name].depends_on) - self.opened
                    assert not missing, f"{name} spawned before {missing}"
                    self.alive.add(name)
                case Send(name, number):
                    assert name in self.alive, "a signal to nobody"
                    if number is signal.SIGKILL:
                        self.killed.add(name)

    def gone(self, event: Exited) -> None:
        self.alive.discard(event.name)
        self.killed.discard(event.name)
        self.take(event)

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def want(self, names: set[str]) -> None:
        self.take(Wanted(tuple(names)))

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def unwant(self, names: set[str]) -> None:
        self.take(Unwanted(tuple(names)))

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name: str) -> None:
        self.take(Restarted(name))

    @rule(name=st.sampled_from(NAMES))
    def ready(self, name: str) -> None:
        if name in self.alive and self.machine.specs[name].probe:
            self.take(Ready(name))

    @rule(name=st.sampled_from(NAMES), well=st.booleans())
    def exit(self, name: str, well: bool) -> None:
        if name in self.alive:
            self.gone(Exited(name, well, "it ended"))

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0, 7.0, 40.0, 400.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.machine.now += seconds
        self.take(Ticked())

    @invariant()
    def what_lives_is_known_to_live(self) -> None:
        assert self.alive == {name for name in NAMES if self.machine.phase(name) in ALIVE}

    @invariant()
    def nothing_waits_without_a_reason(self) -> None:
        for name, member in self.machine.state.members.items():
            if member.phase is Phase.WAITING:
                assert any(
                    self.machine.phase(other) not in OPEN for other in self.machine.specs[name].depends_on
                )
            if member.phase is Phase.BACKOFF:
                assert member.due is not None

    @rule()
    @precondition(lambda self: self.alive)
    def everything_stops_in_the_end(self) -> None:
        self.take(Unwanted(NAMES))
        for _ in range(100):
            if self.machine.state.is_over:
                break
            # A process ends when told to; the hard-headed one only when it is killed.
            told = {name for name in self.alive if self.machine.phase(name) is Phase.STOPPING}
            for name in sorted(told - {"store"} | (told & self.killed)):
                self.gone(Exited(name, well=True, reason="told to"))
            self.machine.now += 1
            self.take(Ticked())
        assert self.machine.state.is_over
        assert not self.alive


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=150, stateful_step_count=40)


@given(st.permutations(SPECS))
def test_an_order_respects_every_need(specs: list[ProcessSpec]) -> None:
    names = [one.name for one in ordered(tuple(specs))]
    for one in specs:
        for earlier in (*one.depends_on, *one.outlived_by):
            assert names.index(earlier) < names.index(one.name)


def test_the_next_tick_is_due_with_the_earliest_deadline() -> None:
    machine = Machine(
        spec("a", start_within=timedelta(seconds=9)), spec("b", start_within=timedelta(seconds=4))
    )
    assert machine.state.next_due is None
    machine.want_all()
    assert machine.state.next_due == machine.now + 4
    machine.take(Ready("b"))
    assert machine.state.next_due == machine.now + 9
