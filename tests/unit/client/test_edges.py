import pytest

from reverie_client.edges import Edges


def test_the_first_edge_is_called_while_it_answers() -> None:
    edges = Edges(3)
    edges.worked(0)
    assert edges.choose() == 0
    assert edges.due(100.0) == []


def test_an_edge_that_failed_is_left_out_until_it_was_seen_to_be_well() -> None:
    edges = Edges(2)
    edges.failed(0, 100.0)
    assert edges.due(100.2) == []
    assert edges.due(100.3) == [0]
    assert edges.choose() == 1
    edges.looked(0, 100.4, well=True)
    assert edges.choose() == 0


def test_one_look_at_a_time_is_enough() -> None:
    edges = Edges(3)
    edges.failed(0, 100.0)
    edges.failed(1, 100.0)
    assert edges.due(101.0) == [0, 1]
    assert edges.due(102.0) == []
    edges.looked(1, 102.0, well=False)
    assert edges.due(103.0) == [1]


def test_an_edge_that_keeps_failing_is_looked_at_less_often_but_never_forgotten() -> None:
    edges, now, rests = Edges(2), 100.0, []
    edges.failed(0, now)
    for _ in range(6):
        begun = now
        while not edges.due(now):
            now += 0.125
        rests.append(now - begun)
        edges.looked(0, now, well=False)
    assert rests == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_calls_that_fail_together_are_one_failure() -> None:
    edges = Edges(2)
    for _ in range(100):
        edges.failed(0, 100.0)
    assert edges.due(100.3) == [0]


def test_an_answer_ends_the_rest() -> None:
    edges = Edges(2)
    edges.failed(0, 100.0)
    edges.worked(0)
    assert edges.choose() == 0
    assert edges.due(200.0) == []


def test_when_all_edges_failed_the_one_whose_rest_ends_first_is_called() -> None:
    edges = Edges(2)
    edges.failed(0, 100.0)
    edges.failed(0, 100.5)
    edges.failed(1, 100.5)
    assert edges.choose() == 1


def test_the_only_edge_is_called_without_a_look() -> None:
    edges = Edges(1)
    edges.failed(0, 100.0)
    assert edges.choose() == 0
    assert edges.due(200.0) == []


def test_there_must_be_an_edge() -> None:
    with pytest.raises(ValueError, match="at least one edge"):
        Edges(0)
