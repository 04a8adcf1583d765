"""A module of ours that only pretends to be something."""

preparations: list[int] = []
"""The processes that have prepared it."""
