import asyncio

import pytest

from services.runtime.server import beside


async def test_what_goes_on_beside_ends_with_what_is_inside() -> None:
    begun, stop, ends = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    async with beside(work, stop):
        await begun.wait()
    assert ends == ["cancelled"]
    assert not stop.is_set()


async def fails() -> None:
    raise ValueError("broken")


async def returns() -> None:
    pass


@pytest.mark.parametrize("work", [fails, returns])
async def test_a_process_whose_work_ends_by_itself_ends_and_says_so(work: object) -> None:
    stop = asyncio.Event()
    with pytest.raises(SystemExit) as raised:
        async with beside(work, stop):  # type: ignore[arg-type]
            await stop.wait()
    assert raised.value.code == 1
