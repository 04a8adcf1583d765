import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.local import control
from ops.local.lifecycle import Restarted, Unwanted, Wanted


def as_request(name: object) -> bytes:
    return json.dumps({"do": "start", "name": name}).encode()


def test_a_request_names_a_verb_and_a_process() -> None:
    assert control.parse(b'{"do": "start", "name": "query-a-0"}\n') == Wanted(("query-a-0",))
    assert control.parse(b'{"do": "stop", "name": "query-a-0"}\n') == Unwanted(("query-a-0",))
    assert control.parse(b'{"do": "restart", "name": "query-a-0"}\n') == Restarted("query-a-0")


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"7", b'"x"', b'{"do": "start"}', b'{"do": 1, "name": "a"}', b"\xff"]
)
def test_other_requests_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="start"):
        control.parse(line)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(as_request))
def test_whatever_comes_is_a_request_or_is_refused(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert control.parse(line)
