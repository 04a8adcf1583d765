"""Stages and models of analysis: their names in the contract, their numbers in the database."""

from typing import NamedTuple

from services.runtime.embedder import EMBEDDERS
from services.runtime.errors import InvalidArgument

EMBED = 1
"""The stage that makes a vector of a memory's text."""

STAGES = {"embed": EMBED}
STAGE_NAMES = {number: name for name, number in STAGES.items()}

MODEL_NAMES = {kind.number: kind.name for kind in EMBEDDERS.values()}
DIMENSIONS = {kind.number: kind.dimensions for kind in EMBEDDERS.values()}
"""How long a vector of each model is."""


class Analysis(NamedTuple):
    """A stage and a model, by their numbers."""

    stage: int
    model: int


def analysis(stage: str, model: int) -> Analysis:
    """The numbers of a stage and model that a request names. InvalidArgument if there is no such."""
    if stage not in STAGES:
        raise InvalidArgument.of("stage", f"is one of {', '.join(STAGES)}")
    if model not in MODEL_NAMES:
        said = ", ".join(f"{number} ({name})" for number, name in MODEL_NAMES.items())
        raise InvalidArgument.of("model", f"is one of {said}")
    return Analysis(STAGES[stage], model)
