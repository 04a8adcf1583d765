"""The command as people type it, for the platform that all tests share."""

import pytest

from ops.local.platform import Platform
from tests.stack.cli.command import Command


@pytest.fixture
def reverie(platform: Platform) -> Command:
    return Command(platform.home.root)
