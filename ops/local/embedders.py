"""The embedders with which a platform can be started. Light to import, as help lists them."""

from enum import StrEnum


class Embedder(StrEnum):
    """What turns texts into vectors; the same names as `services.runtime.embedder` has."""

    MINILM = "minilm"
    STATIC = "static"
