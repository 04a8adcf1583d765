"""What the main of a process runs on."""

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

YOUNG_OBJECTS = 10_000
"""New objects after which the collector looks for cycles among them.

By default 700: a batch of some hundred memories would be looked at again and again while it is worked on.
"""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a process's main on uvloop until it ends; what it returns."""
    # What was loaded by now stays for good: the collector need not go through it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    return uvloop.run(main)
