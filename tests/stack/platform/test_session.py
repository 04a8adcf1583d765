"""What a supervisor's session says, and when."""

import asyncio
import os
from pathlib import Path
from uuid import uuid4

from ops.local import record
from ops.local.home import Endpoint, Home
from ops.local.record import Stage
from ops.local.session import Session


async def test_who_sees_that_it_is_ready_finds_that_said_already(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    home.create()
    stages: list[Stage | None] = []

    async def gate() -> str:
        return ""

    def heard(line: str) -> None:
        if "ready: everything is healthy" in line:
            known = record.load(home.state)
            stages.append(known.stage if known else None)
            asyncio.get_running_loop().call_soon(session.stop)

    endpoint = Endpoint((), (), home.pki / "ca.pem", uuid4())
    session = Session(home, (), gate, endpoint, environ=os.environ, report=heard)
    await session.run()
    assert len(stages) == 1
    assert stages[0] is not Stage.READY
