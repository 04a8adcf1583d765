"""Brings a home to life: keys, certificates, ports and files first, then a session of all its processes."""

import shutil
from collections.abc import Callable, Mapping

from mesh import topology
from mesh.topology import EDGE, Topology
from ops.local import identity, leftovers, logs, observe, pki, plan, ports
from ops.local.home import Endpoint, Home
from ops.local.plan import Options
from ops.local.ports import LOOPBACK
from ops.local.process import ProcessSpec
from ops.local.processes import Plan
from ops.local.session import Session
from services.catalog import SERVICES


class StartError(Exception):
    """Raised when a platform did not get ready; it has stopped again. Says why."""

    def __init__(self, why: str, culprit: str = "") -> None:
        super().__init__(why)
        self.culprit = culprit
        """The process whose log tells more; empty if it was none."""


async def operate(
    home: Home, options: Options, *, environ: Mapping[str, str], report: Callable[[str], None]
) -> None:
    """Run the platform until it is asked to stop.

    StartError if it did not get ready, HomeError if the home can't be used or already runs, PortTakenError
    if a port that was asked for is in use. To be called in the main thread of a process of its own.
    """
    home.create()
    with home.lock():
        if left := await leftovers.end(home):
            report(f"ended {left} processes that an earlier supervisor left")
        _clean(home)
        wishes = plan.wishes(options, kept_ports(home))
        with ports.reserved(wishes, home.ports) as chosen:
            form = _lay_out(home, chosen)
            session = Session(
                home,
                _plan(home, options, form),
                lambda: observe.missing(home),
                endpoint(home, form),
                environ=environ,
                report=report,
            )
            last = await session.run()
    if last.failure:
        raise StartError(last.failure, last.culprit)


def kept_ports(home: Home) -> dict[str, int]:
    """The ports of last time, by who listened."""
    return ports.kept(home.ports)


def endpoint(home: Home, form: Topology) -> Endpoint:
    """Where clients of this topology call."""
    return Endpoint(
        public=tuple(f"{edge.address}:{edge.public_port}" for edge in form.edges),
        operator=tuple(f"{edge.address}:{edge.operator_port}" for edge in form.edges),
        ca=form.ca,
        tenant=home.tenant(),
    )


def _clean(home: Home) -> None:
    """Remove what belonged to an earlier run: sockets that nobody listens on."""
    for entry in home.run.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for path in home.log.glob("*.log"):
        logs.rotate(path)


def _lay_out(home: Home, chosen: Mapping[str, int]) -> Topology:
    """Keys, certificates, and the topology that names them."""
    keys = identity.ensure(home)
    authority = pki.ensure_ca(home.pki)
    for row in SERVICES:
        pki.ensure_leaf(home.pki, authority, row.name)
    pki.ensure_leaf(home.pki, authority, EDGE, ("localhost",), (LOOPBACK,))
    form = plan.topology(home, chosen, keys.jwks)
    topology.dump(form, home.topology)
    return form


def _plan(home: Home, options: Options, form: Topology) -> tuple[ProcessSpec, ...]:
    planned = Plan(home, options, form, *plan.stores(home))
    for directory in planned.directories():
        directory.mkdir(mode=0o700, exist_ok=True)
    return planned.processes()
