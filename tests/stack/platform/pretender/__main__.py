"""Says in its log how it was started, shows that it is ready, and waits."""

import gc
import json
import os
import sys
import time
from pathlib import Path

from tests.stack.platform.pretender import preparations


def prepare() -> None:
    """What a fork server does before it makes copies."""
    preparations.append(os.getpid())


def main() -> None:
    told = {
        "argv": sys.argv[1:],
        "collects": gc.isenabled(),
        "copy": "ops.local.forkserver" in sys.orig_argv,
        "directory": str(Path.cwd()),
        # Python itself adds a locale where none is chosen.
        "environment": {name: value for name, value in os.environ.items() if name != "LC_CTYPE"},
        "prepared": [number != os.getpid() for number in preparations],
        "session": os.getsid(0) == os.getpid(),
    }
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()
    Path(os.environ["FLAG"]).touch()
    time.sleep(600)


if __name__ == "__main__":
    main()
