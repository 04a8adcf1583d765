import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from ops.drills.bystanders import Bystanders
from ops.drills.faults import Killed, Restarted
from ops.drills.scene import Scene
from ops.local.home import Home
from ops.local.lifecycle import Phase
from ops.local.record import ProcessRecord

NAME, OTHER = "storage-b-0", "edge-a-0"


@dataclass
class Platform:
    home: Home
    known: dict[str, ProcessRecord] = field(default_factory=dict)

    def ends(self, name: str, how: str) -> None:
        """The process ends, and its supervisor starts it again."""
        restarts = self.known[name].restarts + 1
        self.known[name] = ProcessRecord(Phase.READY, 2.0, restarts, how)


class View(Scene):
    """What the platform of the test says of its processes."""

    def known(self) -> dict[str, ProcessRecord]:
        return dict(self.platform.known)  # type: ignore[attr-defined]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    home = Home(tmp_path / "home")
    home.create()
    return Platform(home, {name: ProcessRecord(Phase.READY, 1.0) for name in (NAME, OTHER)})


@pytest.fixture
def scene(platform: Platform) -> Scene:
    return View(platform, Random(1), lambda _line: None)  # type: ignore[arg-type]


def test_a_process_that_ends_though_nothing_befell_it_is_told(platform: Platform, scene: Scene) -> None:
    bystanders = Bystanders(scene)
    assert bystanders.ended(Killed(scene, [OTHER])) == []
    platform.ends(NAME, "exited with 1")

    assert bystanders.ended(Killed(scene, [OTHER])) == [f"{NAME} ended by itself: exited with 1"]
    assert bystanders.ended(Killed(scene, [NAME])) == []


def test_a_process_that_is_to_be_restarted_may_not_end_by_itself(platform: Platform, scene: Scene) -> None:
    bystanders = Bystanders(scene)
    platform.ends(NAME, "exited with 1")

    restarted = Restarted(scene, [[NAME], [OTHER]], timedelta(seconds=1))
    assert bystanders.ended(restarted) == [f"{NAME} ended by itself: exited with 1"]


def test_what_services_log_as_their_fault_is_told_once(platform: Platform, scene: Scene) -> None:
    path = platform.home.log_of(NAME)
    earlier = json.dumps({"event": "a handler failed", "level": "error"})
    path.write_text(f"{earlier}\n")
    bystanders = Bystanders(scene)
    with path.open("a") as log:
        log.write(json.dumps({"event": "serving", "level": "info"}) + "\n")
        log.write(json.dumps({"event": "a batch failed", "level": "error"}) + "\n")

    assert bystanders.faults() == [f"{NAME}: a batch failed"]
    assert bystanders.faults() == []
