from datetime import timedelta

import pytest
import typer

from ops.cli.commands.platform import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("0s", 0)]
)
def test_a_length_of_time_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "12", "-1h", "1.5h", "12 h", "1w", "²h", "12345678d"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="say 90s, 15m, 12h or 7d"):
        parse_duration(text)
