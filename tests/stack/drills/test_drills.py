"""Drills on a real platform: one for good, and every kind of sabotage, each of which must be found."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ops.drills import registry, stage
from ops.drills.drill import Drill, Pace
from ops.drills.faults import Killed
from ops.drills.hypothesis import recovered_within
from ops.drills.load import Traffic
from ops.drills.record import Record, Verdict
from ops.drills.sabotage import Sabotage
from ops.local.plan import instance_id, proxy_of
from ops.local.platform import Platform

SHORT = Pace(before=timedelta(seconds=0.5), after=timedelta(seconds=0.5))
SMALL = Drill(
    name="small",
    when="a proxy that nobody calls is killed",
    fault=lambda scene: Killed(scene, [proxy_of(instance_id("analyse"))]),
    then={1: (recovered_within(15),)},
    traffic=Traffic(rate=80, users=3),
)
DAMAGES = ("lost", "twice", "wrong", "resurrected", "stale_reads")
FOUND = dict(zip(Sabotage, ("lost", "twice", "wrong", "resurrected", "stale_reads"), strict=True))


async def held(drill: Drill, platform: Platform, pace: Pace, sabotage: Sabotage | None = None) -> Record:
    options = stage.Options(seed=1, pace=pace, sabotage=sabotage)
    return await stage.take_place(drill, platform, options, options.seed)


async def test_a_service_that_is_killed_under_load_loses_nothing(platform: Platform) -> None:
    drill = replace(registry.drill("kill-service"), traffic=Traffic(rate=80, users=3))
    record = await held(drill, platform, SHORT)
    # Nothing is broken, unless that it was short.
    assert set(record.broken) <= {*too_few(record)}
    assert record.failed_calls == 0, record.proof["errors"]
    (killed,) = record.proof["killed"]
    assert killed["end"] == "killed by SIGKILL"
    assert platform.processes()[killed["process"]] == killed["pid_after"] != killed["pid"]
    assert record.detected_seconds is not None
    assert record.recovered_seconds is not None
    assert 0 < record.detected_seconds < record.recovered_seconds


@pytest.mark.parametrize("sabotage", Sabotage, ids=str)
async def test_every_sabotage_is_found_and_nothing_else(platform: Platform, sabotage: Sabotage) -> None:
    record = await held(SMALL, platform, SHORT, sabotage)
    counted = {name: getattr(record, name) for name in DAMAGES}
    assert record.verdict is Verdict.FAIL
    assert counted.pop(FOUND[sabotage]) > 0, record.broken
    assert not any(counted.values()), record.broken


async def test_too_few_acknowledged_calls_show_nothing(platform: Platform) -> None:
    few = replace(SMALL, traffic=Traffic(rate=40, users=2))
    record = await held(few, platform, SHORT)
    assert record.verdict is Verdict.FAIL
    assert record.broken == too_few(record)


def too_few(record: Record) -> tuple[str]:
    return (f"acknowledged is {record.acknowledged}, and was to be at least 1000",)
