import pytest

from services.runtime.valkey import addresses, attempt, connect, failures


def test_nodes_are_read_as_they_are_written() -> None:
    assert addresses("127.0.0.1:7000") == [("127.0.0.1", 7000)]
    assert addresses("a:1, b:2") == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("nodes", ["", "host", ":7000", "host:", "host:x", "a:1,", "/run/valkey.sock"])
def test_what_names_no_port_is_refused_with_what_to_say(nodes: str) -> None:
    with pytest.raises(ValueError, match="say host:port"):
        addresses(nodes)


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
        AttributeError("'NoneType' object has no attribute 'writelines'"),
    ],
    ids=["uvloop", "the driver"],
)
async def test_a_connection_that_closes_under_a_command_is_a_failure_of_valkey(
    monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    client = connect("127.0.0.1:1", None)

    async def there() -> None:
        pass

    monkeypatch.setattr(client, "initialize", there)
    with pytest.raises(failures(), match="closed"):
        async with attempt(client):
            raise raised
