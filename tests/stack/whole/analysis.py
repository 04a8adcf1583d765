"""The queue of analysis, seen as a user sees it and pushed as time would push it."""

import asyncpg

from ops.local.plan import POSTGRES, database_secrets
from ops.local.platform import Platform
from ops.local.postgres import DATABASE
from reverie_client import User
from tests.stack.servers import until


async def let_time_pass(platform: Platform) -> None:
    """Ends every lease and every pause after a failure, as if they had been waited for."""
    connection = await asyncpg.connect(
        host=str(platform.home.instance(POSTGRES)),
        user="reverie_admin",
        password=(database_secrets(platform.home) / "admin").read_text().strip(),
        database=DATABASE,
    )
    try:
        await connection.execute("UPDATE analysis_due SET not_before = now() WHERE dead_at IS NULL")
    finally:
        await connection.close()


async def is_analysed(user: User) -> bool:
    """Whether nothing of the user's memories is due; fails the test if some were given up."""
    state = await user.analysis_state()
    assert state.dead == 0
    return state.due == 0


async def all_analysed(user: User) -> None:
    """Waits until nothing of the user's memories is due."""
    await until(lambda: is_analysed(user), f"everything of {user.user_id} is analysed")
