import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

from reverie_client.credentials import Credentials, TokenProvider, expiry_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def jwt(expires: float | None, name: str = "") -> str:
    claims = {"name": name} if expires is None else {"name": name, "exp": expires}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"head.{body}.signature"


def numbered(expires: Iterator[float]) -> tuple[list[str], TokenProvider]:
    given: list[str] = []

    def provide() -> str:
        given.append(jwt(next(expires), str(len(given))))
        return given[-1]

    return given, provide


async def test_a_jwt_that_is_given_as_text_is_sent_as_it_is() -> None:
    credentials = Credentials("abc", Clock())
    assert await credentials.renewed() == ("authorization", "Bearer abc")
    assert credentials.current() == ("authorization", "Bearer abc")
    assert not credentials.refused(credentials.current())


async def test_without_a_source_nothing_is_sent() -> None:
    credentials = Credentials(None, Clock())
    assert credentials.current() is None
    assert await credentials.renewed() is None
    assert not credentials.refused(None)


async def test_a_provider_is_asked_again_a_minute_before_the_jwt_expires() -> None:
    clock = Clock()
    given, provide = numbered(iter([1600.0, 2600.0]))
    credentials = Credentials(provide, clock)
    await credentials.renewed()
    clock.now = 1539.0
    assert credentials.current() is not None
    clock.now = 1541.0
    assert credentials.current() is None
    assert await credentials.renewed() == ("authorization", f"Bearer {given[1]}")
    assert len(given) == 2


async def test_a_jwt_of_a_short_life_is_used_for_three_quarters_of_it() -> None:
    clock = Clock()
    _, provide = numbered(iter([1008.0, 1016.0]))
    credentials = Credentials(provide, clock)
    await credentials.renewed()
    clock.now = 1005.0
    assert credentials.current() is not None
    clock.now = 1007.0
    assert credentials.current() is None


async def test_an_asynchronous_provider_is_asked_once_for_all_who_wait() -> None:
    asked = 0

    async def provide() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return jwt(9999.0)

    credentials = Credentials(provide, Clock())
    headers = await asyncio.gather(*(credentials.renewed() for _ in range(10)))
    assert asked == 1
    assert len(set(headers)) == 1


async def test_a_refused_jwt_is_renewed_before_its_time() -> None:
    given, provide = numbered(iter([9000.0, 9000.0]))
    credentials = Credentials(provide, Clock())
    first = await credentials.renewed()
    assert credentials.refused(first)
    assert credentials.current() is None
    assert (await credentials.renewed()) == ("authorization", f"Bearer {given[1]}")


async def test_the_refusal_of_an_older_jwt_does_not_cost_the_newer_one() -> None:
    _, provide = numbered(iter([9000.0, 9000.0, 9000.0]))
    credentials = Credentials(provide, Clock())
    first = await credentials.renewed()
    credentials.refused(first)
    second = await credentials.renewed()
    assert credentials.refused(first)
    assert credentials.current() == second


async def test_a_file_is_read_again_as_it_is_renewed(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "token"
    path.write_text(jwt(99_999.0, "old") + "\n")
    credentials = Credentials(path, clock)
    assert await credentials.renewed() == ("authorization", f"Bearer {jwt(99_999.0, 'old')}")
    path.write_text(jwt(99_999.0, "new"))
    clock.now += 31.0
    assert credentials.current() is None
    assert await credentials.renewed() == ("authorization", f"Bearer {jwt(99_999.0, 'new')}")


def test_an_expiry_that_is_not_there_is_none() -> None:
    assert expiry_of(jwt(1234.5)) == 1234.5
    for text in ("", "a.b", "a.!!!.c", jwt(None), "a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c"):
        assert expiry_of(text) is None
