import pytest

from reverie_client.edges import Edges


def test_the_first_edge_is_called_while_it_answers() -> None:
    edges = Edges(3)
    edges.worked(0)
    assert edges.choose(100.0) == 0


def test_an_edge_that_failed_is_left_out_for_a_while() -> None:
    edges = Edges(2)
    edges.failed(0, 100.0)
    assert edges.choose(100.1) == 1
    assert edges.choose(101.0) == 0


def test_an_edge_that_keeps_failing_rests_longer_each_time_but_never_for_ever() -> None:
    edges = Edges(2)
    for _ in range(3):
        edges.failed(0, 100.0)
    assert edges.choose(101.9) == 1
    assert edges.choose(102.1) == 0
    for _ in range(100):
        edges.failed(0, 200.0)
    assert edges.choose(215.1) == 0


def test_an_answer_ends_the_rest() -> None:
    edges = Edges(2)
    edges.failed(0, 100.0)
    edges.worked(0)
    assert edges.choose(100.0) == 0


def test_when_all_edges_rest_the_one_whose_rest_ends_first_is_called() -> None:
    edges = Edges(2)
    edges.failed(0, 100.0)
    edges.failed(0, 100.0)
    edges.failed(1, 100.0)
    assert edges.choose(100.0) == 1


def test_there_must_be_an_edge() -> None:
    with pytest.raises(ValueError, match="at least one edge"):
        Edges(0)
