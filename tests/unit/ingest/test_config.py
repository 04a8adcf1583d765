"""What ingest is told by its environment."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.ingest.config import IngestConfig


def config(**settings: Any) -> IngestConfig:
    paths: dict[str, Any] = {name: Path(name) for name in ("app_socket", "egress_socket", "token_keys")}
    return IngestConfig(instance="ingest-a-0", zone="a", **paths, **settings)


def test_a_window_for_which_the_queue_has_never_room_is_refused() -> None:
    with pytest.raises(ValidationError, match="a full frame would never have room"):
        config(queue_rows=1_000, stream_window=1_001)
    assert config(queue_rows=1_000, stream_window=1_000).stream_settings.limits.window == 1_000


def test_no_tenant_takes_more_than_half_of_the_streams() -> None:
    assert config(streams=9).stream_settings.most_of_a_tenant == 4
    assert config(streams=1).stream_settings.most_of_a_tenant == 1
