"""When all whom a process follows are asked."""

import asyncio
from collections.abc import Callable

import pytest

from mesh.beat import Beat


class Time:
    """A clock that is set, and a loop that only notes for when it is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
        self.now = now
        self.alarms: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self)

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, back: Callable[[], None]) -> None:
        self.alarms.append((round(self.now + delay, 6), back))

    def strike(self, now: float) -> None:
        self.now = now
        _, back = self.alarms.pop()
        back()

    @property
    def due(self) -> list[float]:
        return [at for at, _ in self.alarms]


def test_all_are_called_at_one_multiple_of_the_interval_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch, 100.1)
    called: list[str] = []
    beat = Beat(0.5, time)
    beat.call(lambda: called.append("a"))
    time.now = 100.4
    beat.call(lambda: called.append("b"))
    assert time.due == [100.5]
    time.strike(100.5)
    assert called == ["a", "b"]
    assert time.due == [], "nobody waits any more"


def test_a_timer_that_goes_off_early_does_not_make_it_beat_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch, 100.1)
    beat = Beat(0.5, time)
    beat.call(lambda: beat.call(lambda: None))
    time.strike(100.499)
    assert time.due == [101.0]


def test_beats_that_were_slept_through_are_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch, 100.1)
    beat = Beat(0.5, time)
    beat.call(lambda: beat.call(lambda: None))
    time.strike(109.7)
    assert time.due == [110.0]
