"""Conditions with deadlines."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Returns as soon as the condition holds; fails the test if it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within:g} s"
        await asyncio.sleep(0.02)
