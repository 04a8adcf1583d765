import asyncio
import signal

from ops.local.lifecycle import Phase
from ops.local.process import Probe, ProcessSpec
from ops.local.supervisor import Supervisor


class Obedient:
    """Ends when it is told to."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.signals: list[signal.Signals] = []
        self._over = asyncio.Event()

    def send(self, number: signal.Signals) -> None:
        self.signals.append(number)
        self._over.set()

    async def ended(self) -> int:
        await self._over.wait()
        return 0


async def test_a_process_is_told_to_end_once_it_has_drained_or_failed_to() -> None:
    for failure in (None, OSError("it can't be asked")):
        drained = asyncio.Event()
        made: list[Obedient] = []

        async def drain(failure: OSError | None = failure, drained: asyncio.Event = drained) -> None:
            await drained.wait()
            if failure:
                raise failure

        def spawn(spec: ProcessSpec, made: list[Obedient] = made) -> Obedient:
            made.append(Obedient(spec))
            return made[-1]

        async def is_ready() -> bool:
            return True

        spec = ProcessSpec("edge", ("edge",), probe=is_ready, drain=drain)
        supervisor = Supervisor((spec,), spawn, lambda _: None)
        async with asyncio.timeout(5):
            running = asyncio.create_task(supervisor.run())
            await supervisor.until(lambda state: state["edge"].phase is Phase.READY)
            supervisor.stop()
            await supervisor.until(lambda state: state["edge"].phase is Phase.STOPPING)
            assert made[0].signals == []
            drained.set()
            await running
        assert made[0].signals == [signal.SIGTERM]


async def test_what_is_to_stop_before_it_was_made_is_not_made() -> None:
    def spawn(spec: ProcessSpec) -> Obedient:
        raise AssertionError(f"{spec.name} was made")

    supervisor = Supervisor((spec(Deaf()),), spawn, lambda _: None)
    supervisor.stop()
    async with asyncio.timeout(5):
        await supervisor.run()
    assert supervisor.state["service"].phase is Phase.STOPPED


class Deaf:
    """A probe that loses its cancellation, and whose process is ready by then."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self) -> bool:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return True
        return False


def spec(probe: Probe) -> ProcessSpec:
    return ProcessSpec("service", ("service",), probe=probe)


async def test_a_probe_that_ignores_its_end_keeps_nothing_from_stopping_nor_speaks_for_the_dead() -> None:
    probe = Deaf()
    seen: list[Phase] = []
    supervisor = Supervisor((spec(probe),), Obedient, lambda state: seen.append(state["service"].phase))
    async with asyncio.timeout(5):
        running = asyncio.create_task(supervisor.run())
        await probe.asked.wait()
        supervisor.stop()
        await running
        # The probe still has its say, which is no longer heard.
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    assert seen == [Phase.STARTING, Phase.STOPPING, Phase.STOPPED]
    assert supervisor._events.empty()


class Hopeless(Deaf):
    """One that loses every cancellation and is never satisfied."""

    async def __call__(self) -> bool:
        await super().__call__()
        return False


async def test_a_probe_that_is_never_satisfied_and_ignores_its_end_ends_too() -> None:
    probe = Hopeless()
    supervisor = Supervisor((spec(probe),), Obedient, lambda _: None)
    async with asyncio.timeout(5):
        running = asyncio.create_task(supervisor.run())
        await probe.asked.wait()
        supervisor.stop()
        await running
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
