from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.local.plan import OPERATOR_PORT, PUBLIC_PORT, Options, wishes
from ops.local.ports import SPAN, PortTakenError, Wish, choose

PORTS = st.sampled_from(SPAN)


@given(
    st.lists(st.sampled_from(["edge", "storage", "query", "ingest"]), unique=True, min_size=1),
    st.dictionaries(st.sampled_from(["edge", "storage", "query"]), PORTS),
    st.sets(PORTS, max_size=50),
    st.integers(0, 2**32),
)
def test_ports_are_free_and_all_different(
    names: list[str], kept: dict[str, int], taken: set[int], start: int
) -> None:
    chosen = choose([Wish(name) for name in names], kept, lambda port: port not in taken, start)
    assert set(chosen) == set(names)
    assert len(set(chosen.values())) == len(names)
    assert not set(chosen.values()) & taken


def test_a_port_stays_the_same_while_it_is_free() -> None:
    kept = {"storage-a-0": 20_123}
    assert choose([Wish("storage-a-0")], kept, lambda _: True, 7) == kept
    assert choose([Wish("storage-a-0")], kept, lambda port: port != 20_123, 7) == {"storage-a-0": SPAN[7]}


def test_a_port_that_was_asked_for_is_taken_or_refused_with_what_to_do() -> None:
    wish = Wish("edge", 8443, "--port")
    assert choose([wish], {}, lambda _: True, 0) == {"edge": 8443}
    with pytest.raises(
        PortTakenError, match="port 8443 is taken by another program: choose another with --port"
    ):
        choose([wish], {}, lambda _: False, 0)


def test_one_port_for_two_is_refused() -> None:
    with pytest.raises(PortTakenError, match="--operator-port"):
        choose([Wish("a", 8443, "--port"), Wish("b", 8443, "--operator-port")], {}, lambda _: True, 0)


def test_what_was_asked_for_goes_before_what_was_kept() -> None:
    chosen = choose([Wish("storage"), Wish("edge", 20_000, "--port")], {"storage": 20_000}, lambda _: True, 0)
    assert chosen["edge"] == 20_000
    assert chosen["storage"] != 20_000


def test_no_free_port_is_an_error() -> None:
    with pytest.raises(PortTakenError, match="no free port"):
        choose([Wish("storage")], {}, lambda _: False, 0)


def test_free_ports_are_below_those_of_outgoing_connections() -> None:
    assert SPAN.stop <= 32_768


def named(options: Options, kept: Mapping[str, int]) -> dict[str, int]:
    return {wish.name: wish.port for wish in wishes(options, kept)}


def test_the_edge_has_its_usual_ports_at_first_and_insists_on_those_it_had() -> None:
    assert named(Options(), {})["edge-a-0/public"] == PUBLIC_PORT
    assert named(Options(), {})["edge-a-0/operator"] == OPERATOR_PORT
    kept = {"edge-a-0/public": 20_000}
    assert named(Options(port=9000), kept)["edge-a-0/public"] == 9000
    assert named(Options(port=0), kept)["edge-a-0/public"] == 0
    with pytest.raises(PortTakenError, match=r"port 20000 is taken .* any free one with --port 0"):
        choose(wishes(Options(), kept), kept, lambda port: port != 20_000, 0)


def test_a_service_that_nobody_calls_needs_no_port() -> None:
    assert set(named(Options(), {})) == {
        "edge-a-0/public",
        "edge-a-0/operator",
        "storage-a-0",
        "ingest-a-0",
        "query-a-0",
        "valkey-a-0",
        "valkey-a-0/bus",
    }
