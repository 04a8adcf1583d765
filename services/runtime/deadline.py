"""How long the work may take: the caller's deadline, less what the way back needs."""

from typing import Any

import grpc

from services.runtime.errors import DeadlineTooShort

WAY_BACK = 0.005
"""Seconds kept back on each hop, so that an answer or an error of ours arrives before the caller gives up."""

FLOOR = 0.010
"""Seconds below which a call is refused: a commit alone needs about this long."""

UNBOUNDED = 60.0
"""Seconds for a call that came without a deadline: the longest that any route lets through."""


def remaining(context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """Seconds until the caller's deadline; None if it set none."""
    left = context.time_remaining()
    # grpc says "no deadline" by None or by a year-long remainder, depending on the path.
    return None if left is None or left > 86_400 * 30 else left


def shaved(left: float | None, *, floor: float = FLOOR, way_back: float = WAY_BACK) -> float:
    """Seconds that work may take when `left` remain. DeadlineTooShort if that is below `floor`.

    Without a deadline it is `UNBOUNDED`: no work is without end.
    """
    if left is None:
        return UNBOUNDED
    allowed = left - way_back
    if allowed < floor:
        raise DeadlineTooShort(f"{left * 1000:.0f} ms are left, the work needs {floor * 1000:.0f} or more")
    return allowed
