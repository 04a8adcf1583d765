"""A load that a drill waits for, in a time that passes when somebody sleeps."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import pytest

from ops.drills.drill import CannotRunError, Pace
from ops.drills.load import Load
from ops.drills.measure import Call, Window
from ops.drills.steady import until_steady

RATE = 20
PACE = Pace(even_within=timedelta(seconds=30), before=timedelta(seconds=5))


class Busy:
    """A load on a machine that is busy at times: what arrives then is answered two seconds later."""

    def __init__(self, *busy: tuple[float, float]) -> None:
        self.now = 0.0
        self._busy = busy

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def check(self) -> None:
        """Nothing ends it."""

    @property
    def calls(self) -> Sequence[Call]:
        all_calls = [self._call(number / RATE) for number in range(int(self.now * RATE))]
        return sorted((call for call in all_calls if call.ended <= self.now), key=lambda call: call.ended)

    def _call(self, arrived: float) -> Call:
        slow = any(begin <= arrived < end for begin, end in self._busy)
        return Call("read", False, arrived, arrived + (2.0 if slow else 0.01))


async def steady(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> tuple[Window, list[str]]:
    said: list[str] = []
    monkeypatch.setattr(asyncio, "sleep", busy.sleep)
    return await until_steady(cast("Load", busy), RATE, PACE, said.append, busy.clock), said


async def test_a_fault_waits_until_calls_were_prompt_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy((0, 3), (6, 7))
    before, said = await steady(busy, monkeypatch)
    assert before.begin > 7
    assert before.end == busy.now == pytest.approx(before.begin + 5, abs=0.3)
    assert len(said) == 1


async def test_on_a_quiet_machine_nobody_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    before, said = await steady(Busy(), monkeypatch)
    assert before.begin < 1.5
    assert not said


async def test_a_load_that_is_too_much_is_no_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotRunError, match="20 calls/s are not answered promptly"):
        await steady(Busy((0, 100)), monkeypatch)
