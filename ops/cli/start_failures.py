"""What to say of a platform that did not start."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ops.cli.failures import CommandError

if TYPE_CHECKING:
    from ops.local.home import Home

_TAIL = 20


@contextlib.contextmanager
def told(home: "Home") -> Iterator[None]:
    """Tell of a start that failed with the end of the log that says why."""
    from ops.local import logs as files
    from ops.local.operate import StartError

    ends = files.ends(home)
    try:
        yield
    except StartError as error:
        log = home.log_of(error.culprit)
        tail = files.tail(log, _TAIL, ends.get(log, 0)) if error.culprit else []
        lines = [f"the platform did not start: {error}", *(f"  {files.pretty(line)}" for line in tail)]
        raise CommandError("\n".join([*lines, "see `reverie doctor` and `reverie logs`"])) from None
