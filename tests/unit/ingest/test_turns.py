"""Turns: calls are prepared one after the other, and the loop goes round after each slice."""

import asyncio

from services.ingest.turns import Turns


async def _prepare(turns: Turns, slices: int, name: str, done: list[str]) -> None:
    async with turns:
        for _ in range(slices):
            await turns.next()
            done.append(name)


def test_a_call_has_all_turns_until_it_is_prepared_and_others_pass_between_them() -> None:
    async def main() -> list[str]:
        turns, done = Turns(), list[str]()

        async def other() -> None:
            for _ in range(3):
                done.append("other")
                await asyncio.sleep(0)

        calls = (_prepare(turns, 3, "a", done), _prepare(turns, 2, "b", done))
        await asyncio.gather(*calls, other())
        return done

    done = asyncio.run(main())
    assert [each for each in done if each != "other"] == ["a", "a", "a", "b", "b"]
    assert done[:6] == ["other", "a", "other", "a", "other", "a"]


def test_who_gives_up_while_it_waits_or_prepares_holds_up_nobody() -> None:
    async def main() -> list[str]:
        turns, done = Turns(), list[str]()
        first, second, third = (
            asyncio.ensure_future(_prepare(turns, slices, name, done))
            for slices, name in ((10**6, "first"), (1, "second"), (1, "third"))
        )
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait((first, second, third))
        return done

    assert asyncio.run(main())[-1] == "third"
