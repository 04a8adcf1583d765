"""What becomes of the processes that a fault does not befall: callers need not notice, as others answer."""

from ops.drills.faults import Fault
from ops.drills.scene import Scene
from ops.local.logs import Follower, fault_in


class Bystanders:
    """Looks at all processes from now on."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._before = scene.known()
        home = scene.platform.home
        self._logs = Follower(home.log_of(name) for name in self._before)

    def ended(self, fault: Fault) -> list[str]:
        """Those that ended without being asked to, though the fault did not befall them, and how."""
        meant = set(fault.victims) if fault.ends else set()
        return [
            f"{name} ended by itself: {now.reason}"
            for name, now in self._scene.known().items()
            if name in self._before and name not in meant and now.restarts > self._before[name].restarts
        ]

    def faults(self) -> list[str]:
        """What processes have logged, since the last call, that they take for a fault of their own."""
        told = ((name, fault_in(line)) for name, line in self._logs.read())
        return [f"{name}: {what}" for name, what in told if what]
