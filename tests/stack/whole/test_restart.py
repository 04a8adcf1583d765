"""The platform goes down and comes up again."""

import pytest

import reverie_client
from ops.local.plan import Options
from ops.local.platform import Platform
from reverie_client import NewMemory, User
from reverie_client.errors import MemoryDeleted
from tests.stack.whole import calls
from tests.stack.whole.analysis import all_analysed

COUNT = 120
QUESTION = "lighthouse"


async def seen_by(user: User) -> dict[str, list[str]]:
    """Everything that a user can see, as text."""
    timeline = await user.timeline()
    return {
        "timeline": [str(memory.message) for memory in timeline],
        "found": [f"{hit.memory.name} {hit.score}" for hit in await user.search(QUESTION, limit=50)],
        "analysed": [str((await user.get(memory)).message) for memory in timeline[:5]],
    }


async def test_all_is_as_it_was_after_the_platform_was_down(platform: Platform, user: str) -> None:
    token = platform.token(user=user)
    before = platform.endpoint
    async with reverie_client.connect(before.public, ca=before.ca, token=token) as reverie:
        first = reverie.user(user)
        news = [NewMemory(f"Note {number} of the {QUESTION}.", calls.THEN) for number in range(COUNT)]
        assert all(outcome.created for outcome in await first.create_batch(news))
        kept, gone = await first.timeline(limit=2)
        changed = await first.update(kept, text=f"The {QUESTION} is painted.", labels=["work"])
        await first.delete(gone)
        await all_analysed(first)
        seen, promised = await seen_by(first), first.consistency_token
        page = await first.timeline(limit=10).page()
    assert len(seen["timeline"]) == COUNT - 1
    assert promised is not None

    await platform.stop()
    again = await Platform.start(platform.home, Options(embedder="static"), on_leash=True)
    platform.supervisor = again.supervisor

    after = platform.endpoint
    await platform.wait_healthy()
    assert after == before
    async with reverie_client.connect(after.public, ca=after.ca, token=token) as reverie:
        second = reverie.user(user)
        second.continue_from(promised)
        assert await seen_by(second) == seen
        following = await second.timeline(limit=10).page(page.next_page_token)
        names = [memory.name for memory in await second.timeline(limit=20)]
        assert [memory.name for memory in following.items] == names[10:]
        assert (await second.update(changed, text="Painted.")).revision > changed.revision
        with pytest.raises(MemoryDeleted):
            await second.create(gone.text, id=gone.id, occurred_at=gone.occurred)
