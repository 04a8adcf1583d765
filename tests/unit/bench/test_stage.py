"""The stage of a bench."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

import reverie_client
from ops.bench import stage
from ops.bench.registry import Options


async def test_a_record_tells_the_zones_of_a_platform_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def platform(_options: Options) -> AsyncIterator[SimpleNamespace]:
        endpoint = SimpleNamespace(operator=("127.0.0.1:1",), ca=None)
        here = SimpleNamespace(zones=("a", "b", "c"), token=lambda **_: "token", endpoint=endpoint)
        yield here
        here.zones = ("a",)

    @asynccontextmanager
    async def connect(*_edges: object, **_keys: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(caller=None)

    monkeypatch.setattr(stage, "_platform", platform)
    monkeypatch.setattr(reverie_client, "connect", connect)
    async with stage.stage(Options()) as place:
        pass
    assert place.zones == 3
