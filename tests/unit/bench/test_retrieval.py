"""Promises of how answers are judged."""

import json
from pathlib import Path

import pytest

from ops.bench import locomo, retrieval


def sample(evidence: list[str], category: int = 1) -> dict[str, object]:
    """One conversation of three turns, with one question."""
    turns = [{"dia_id": f"D1:{number}", "speaker": "Ada", "text": "hello"} for number in (1, 2, 3)]
    question = {"question": "Who?", "answer": "Ada", "evidence": evidence, "category": category}
    return {"sample_id": "s", "conversation": {"session_1": turns}, "qa": [question]}


def asked(tmp_path: Path, *samples: dict[str, object]) -> list[locomo.Question]:
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps(samples))
    return locomo.questions(path)


def test_every_turn_that_evidence_names_counts(tmp_path: Path) -> None:
    (question,) = asked(tmp_path, sample(["D1:1; D1:3", "D1:2"]))
    assert question.evidence == {"D1:1", "D1:2", "D1:3"}


def test_unknown_turns_are_dropped_and_questions_without_any_are_not_asked(tmp_path: Path) -> None:
    known, unknown = sample(["D1:1", "D9:9"]), sample(["D1:04", "D"])
    (question,) = asked(tmp_path, known, unknown)
    assert question.evidence == {"D1:1"}


def test_questions_without_an_answer_are_not_asked(tmp_path: Path) -> None:
    assert asked(tmp_path, sample(["D1:1"], category=5)) == []


def test_the_real_file_has_1535_questions() -> None:
    path = locomo.dataset_path()
    if path is None:
        pytest.skip("the LoCoMo file is not beside this checkout")
    assert len(locomo.questions(path)) == 1535


def test_any_and_all_are_told_apart_at_each_depth() -> None:
    shares = retrieval._found([[1, 7], [None, 20], [21], [None]])
    assert shares == {
        "any_at_5": 25.0, "any_at_10": 25.0, "any_at_20": 50.0,
        "all_at_5": 0.0, "all_at_10": 25.0, "all_at_20": 25.0,
    }  # fmt: skip
