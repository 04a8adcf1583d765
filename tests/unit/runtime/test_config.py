from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.runtime.config import ServiceConfig

NEEDED = {
    "REVERIE_INSTANCE": "ingest-a-0",
    "REVERIE_ZONE": "a",
    "REVERIE_APP_SOCKET": "/run/app.sock",
}

FROM_ENVIRONMENT: dict[str, Any] = {}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_service_is_configured_by_its_environment(environment: Any) -> None:
    environment.setenv("REVERIE_LOG_LEVEL", "debug")
    config = ServiceConfig(**FROM_ENVIRONMENT)
    assert config.app_socket == Path("/run/app.sock")
    assert config.log_level == "debug"
    assert config.jwt_keys is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REVERIE_INSTANCE", "ingest"),
        ("REVERIE_ZONE", "Z"),
        ("REVERIE_LOG_LEVEL", "loud"),
        ("REVERIE_CONCURRENCY", "0"),
        ("REVERIE_DRAIN_GRACE_SECONDS", "-1"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_the_process(environment: Any, name: str, value: Any) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        ServiceConfig(**FROM_ENVIRONMENT)


def test_a_setting_that_is_missing_is_named(environment: Any) -> None:
    environment.delenv("REVERIE_APP_SOCKET")
    with pytest.raises(ValidationError, match="app_socket"):
        ServiceConfig(**FROM_ENVIRONMENT)
