import pytest

from services.runtime.valkey import addresses


def test_nodes_are_read_as_they_are_written() -> None:
    assert addresses("127.0.0.1:7000") == [("127.0.0.1", 7000)]
    assert addresses("a:1, b:2") == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("nodes", ["", "host", ":7000", "host:", "host:x", "a:1,", "/run/valkey.sock"])
def test_what_names_no_port_is_refused_with_what_to_say(nodes: str) -> None:
    with pytest.raises(ValueError, match="say host:port"):
        addresses(nodes)
