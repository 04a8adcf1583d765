"""`python -m services.analyse`: one worker process."""

import asyncio
import random
from datetime import timedelta

from services.analyse.config import AnalyseConfig
from services.analyse.embed import Embed
from services.analyse.hints import Hints, NoHints, ValkeyHints
from services.analyse.planner import Pace, Planner
from services.analyse.worker import Worker
from services.runtime import embedder, valkey
from services.runtime.client import connect
from services.runtime.process import run
from services.runtime.server import serve
from services.runtime.telemetry import configure_logging
from services.storage.client import StorageAnalysisClient


async def main() -> None:
    """Works until SIGTERM. The server tells its health and serves nothing else."""
    config = AnalyseConfig()  # type: ignore[call-arg]
    configure_logging(config.log_level)
    worker = Worker(
        StorageAnalysisClient(connect(config.egress_socket)),
        Embed(embedder.by_name(config.embedder)),
        hints(config),
        Planner(Pace(poll_seconds=config.poll_seconds), random.random),
        lease=timedelta(seconds=config.lease_seconds),
        niceness=config.niceness,
    )
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run())
    # A worker that fails takes its process along: whoever watches it starts another.
    working.add_done_callback(lambda _: stop.set())

    async def finish() -> None:
        worker.stop()
        await working

    metrics = (worker.numbers.attached, worker.numbers.gone, worker.numbers.failed)
    await serve(config, lambda _server: (), before_stop=finish, metrics=metrics, stop=stop)


def hints(config: AnalyseConfig) -> Hints:
    """Where this process hears of new work."""
    if config.valkey_nodes is None:
        return NoHints()
    return ValkeyHints(valkey.connect(config.valkey_nodes, config.valkey_password_file), config.instance)


if __name__ == "__main__":
    run(main())
