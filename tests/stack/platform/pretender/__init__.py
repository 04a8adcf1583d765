"""A module of ours that only pretends to be something."""
