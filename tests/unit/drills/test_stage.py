"""What becomes of a drill that does not come to its end."""

from unittest.mock import AsyncMock, Mock

import pytest

from ops.drills import registry
from ops.drills.course import Course
from ops.drills.drill import CannotRunError
from ops.drills.record import Verdict
from ops.drills.stage import told
from tests.unit.drills.records import FINE


def course(outcome: object) -> Mock:
    """One of kill-worker in three zones that ends so."""
    run = AsyncMock(side_effect=[outcome])
    scene = Mock(zones=("a", "b", "c"))
    return Mock(spec=Course, run=run, scene=scene, drill=registry.drill("kill-worker"), seed=7)


async def test_a_drill_that_fails_by_itself_is_told_as_one_that_has_not_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = await told(course(ZeroDivisionError("of no use")))
    assert (record.drill, record.zones, record.seed, record.verdict) == ("kill-worker", 3, 7, Verdict.FAIL)
    assert record.broken == ("the drill itself failed: ZeroDivisionError('of no use')",)
    assert record.lost is None
    assert "Traceback" in capsys.readouterr().err


async def test_what_can_t_take_place_is_no_record() -> None:
    with pytest.raises(CannotRunError):
        await told(course(CannotRunError("no platform")))


async def test_a_drill_that_comes_to_its_end_is_told_as_it_is() -> None:
    assert await told(course(FINE)) is FINE
