"""`python poisoned_analyse.py WORD`: analyse, whose stage can't take memories that hold the word."""

import sys
from collections.abc import Sequence
from unittest.mock import patch

from services.analyse import __main__ as analyse
from services.analyse.embed import Embed
from services.analyse.stage import StageError, Work
from services.runtime.process import run


class Poisoned(Embed):
    """Embeds as ever, but for the poison."""

    def run(self, work: Sequence[Work]) -> list[bytes]:
        if any(sys.argv[1] in item.text for item in work):
            raise StageError("this memory can't be embedded")
        return super().run(work)


if __name__ == "__main__":
    with patch.object(analyse, "Embed", Poisoned):
        run(analyse.main())
