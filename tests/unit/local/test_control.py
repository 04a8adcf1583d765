import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.local import control
from ops.local.lifecycle import Held, Restarted, Unwanted, Wanted


def as_request(name: object) -> bytes:
    return json.dumps({"do": "start", "names": name}).encode()


def test_a_request_names_a_verb_and_processes() -> None:
    assert control.parse(b'{"do": "start", "names": ["a", "b"]}\n') == (Wanted(("a", "b")),)
    assert control.parse(b'{"do": "stop", "names": ["a", "b"]}\n') == (Unwanted(("a", "b")),)
    assert control.parse(b'{"do": "restart", "names": ["a", "b"]}\n') == (Restarted("a"), Restarted("b"))
    assert control.parse(b'{"do": "hold", "names": ["a", "b"]}\n') == (Held(("a", "b")),)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"7",
        b'"x"',
        b'{"do": "start"}',
        b'{"do": "start", "names": []}',
        b'{"do": "start", "names": "a"}',
        b'{"do": "start", "names": [1]}',
        b'{"do": ["start"], "names": ["a"]}',
        b'{"do": 1, "names": ["a"]}',
        b"\xff",
    ],
)
def test_other_requests_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="start"):
        control.parse(line)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(as_request))
def test_whatever_comes_is_a_request_or_is_refused(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert control.parse(line)
