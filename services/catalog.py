"""The table of services: what each serves, calls, needs and promises.

Local platform, mesh, provisioning and dashboards are derived from it, so a service exists once it stands
here. Standard library only: everything may import it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


class Audience(Enum):
    """Who may call an API."""

    PUBLIC = "public"
    """Applications, through the edge, with a JWT."""
    OPERATOR = "operator"
    """Operators, through the edge's operator listener, with the scope `operator`."""
    INTERNAL = "internal"
    """Only services whose `calls` name it."""


class Store(Enum):
    """What a service keeps state in."""

    POSTGRES = "postgres"
    VALKEY = "valkey"


@dataclass(frozen=True, slots=True)
class Retry:
    """What a proxy repeats by itself. Only for calls that may be repeated."""

    attempts: int = 2
    """How often at most, after the first try."""
    per_try_timeout: timedelta | None = None
    """How long one try may take; None: as long as the whole call."""
    base_interval: timedelta = timedelta(milliseconds=25)
    """The first pause; later ones double, with jitter."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A method that streams: it has no timeout as a whole, and no proxy repeats it. Its caller resumes it."""

    method: str
    """Its name, as `StreamMemories`."""
    idle_timeout: timedelta = timedelta(minutes=5)
    """A proxy ends it when nothing went either way for so long."""


@dataclass(frozen=True, slots=True)
class Api:
    """A gRPC service."""

    name: str
    """Its full name, as `reverie.ingest.v1.IngestService`."""
    audience: Audience
    timeout: timedelta = timedelta(seconds=10)
    """The longest that a call may take; callers' own deadlines are shorter."""
    retry: Retry | None = Retry()
    """None: a proxy never repeats its calls."""
    affinity: str | None = None
    """A request header: calls with the same value go to the same instance while it is there. For what an
    instance keeps in memory; any instance may answer. None, or no such header: to the least busy of two."""
    streams: tuple[Stream, ...] = ()
    """Methods to which neither `timeout` nor `retry` applies."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """How much a proxy lets through to all instances of a service in a zone."""

    max_connections: int = 64
    max_requests: int = 1024
    max_pending: int = 1024
    retry_budget_percent: float = 100.0
    """Retries under way, as a share of requests of the last second (at least ten)."""


@dataclass(frozen=True, slots=True)
class Ejection:
    """When a proxy takes an instance out of balancing. With one instance, panic routing keeps it in."""

    consecutive_failures: int = 5
    interval: timedelta = timedelta(seconds=1)
    base_time: timedelta = timedelta(seconds=1)
    max_time: timedelta = timedelta(seconds=5)
    """Each ejection in a row is longer by the base time, up to this."""
    max_percent: int = 34


@dataclass(frozen=True, slots=True)
class Service:
    """One row of the table."""

    name: str
    """The package below `services`; instances are named `{name}-{zone}-{ordinal}`."""
    summary: str
    objective_p95: timedelta
    """95 % of calls end within it, at the service's own proxy: calls that come in, or, for a worker,
    calls that it makes."""
    apis: tuple[Api, ...] = ()
    calls: tuple[str, ...] = ()
    """Full names of the APIs that it calls. Nothing else is let through."""
    stores: tuple[Store, ...] = ()
    worker: bool = False
    """Whether it takes its work from a queue."""
    memory_mib: int = 128
    """The resource class."""
    breaker: Breaker = Breaker()
    ejection: Ejection = Ejection()


_ECHO = "reverie.echo.v1.EchoService"
_READ = "reverie.storage.v1.StorageReadService"
_SEARCH = "reverie.storage.v1.StorageSearchService"
_WRITE = "reverie.storage.v1.StorageWriteService"
_ANALYSIS = "reverie.storage.v1.StorageAnalysisService"
_ADMIN = "reverie.storage.v1.StorageAdminService"

STORAGE = Service(
    name="storage",
    summary="the system of record; the only code with SQL in it",
    objective_p95=timedelta(milliseconds=50),
    apis=(
        Api(_READ, Audience.PUBLIC),
        # Segments of the owner are warm where its last search was.
        Api(_SEARCH, Audience.INTERNAL, affinity="reverie-owner"),
        # Every operation carries an id or an etag, so the same batch again has the same outcome.
        Api(_WRITE, Audience.INTERNAL, timeout=timedelta(seconds=60)),
        Api(_ANALYSIS, Audience.INTERNAL, timeout=timedelta(seconds=30)),
        # Its second answer may be another: what was replayed once is not dead any more.
        Api(_ADMIN, Audience.OPERATOR, timeout=timedelta(seconds=60), retry=None),
        Api(_ECHO, Audience.OPERATOR),
    ),
    stores=(Store.POSTGRES, Store.VALKEY),
    memory_mib=256,
)

INGEST = Service(
    name="ingest",
    summary="takes in every write of an application, and turns many small calls into few large ones",
    objective_p95=timedelta(milliseconds=100),
    apis=(
        Api(
            "reverie.ingest.v1.IngestService",
            Audience.PUBLIC,
            timeout=timedelta(seconds=60),
            streams=(Stream("StreamMemories"),),
        ),
        Api(_ECHO, Audience.OPERATOR),
    ),
    calls=(_WRITE, _READ, _ECHO),
)

QUERY = Service(
    name="query",
    summary="understands questions, embeds them, pages and explains the answers",
    objective_p95=timedelta(milliseconds=150),
    apis=(
        Api("reverie.query.v1.QueryService", Audience.PUBLIC),
        Api(_ECHO, Audience.OPERATOR),
    ),
    calls=(_SEARCH, _ECHO),
    memory_mib=256,
)

ANALYSE = Service(
    name="analyse",
    summary="does in the background what need not delay an answer: embeddings, so far",
    objective_p95=timedelta(milliseconds=250),
    calls=(_ANALYSIS,),
    stores=(Store.VALKEY,),
    worker=True,
    memory_mib=384,
)

Table = tuple[Service, ...]

SERVICES: Table = (STORAGE, INGEST, QUERY, ANALYSE)
"""Every service, each after those that it calls."""


def service(name: str, table: Table = SERVICES) -> Service:
    """The row of that name. KeyError, naming those there are, if there is none."""
    for row in table:
        if row.name == name:
            return row
    raise KeyError(f"no service {name!r}; there are {', '.join(row.name for row in table)}")


def providers(api: str, table: Table = SERVICES) -> Iterator[Service]:
    """The services that serve an API."""
    return (row for row in table if any(offered.name == api for offered in row.apis))


def callees(row: Service, table: Table = SERVICES) -> dict[str, tuple[Api, ...]]:
    """For each service that `row` calls: the APIs that it may call there.

    An API that several services serve (echo) means storage: the others forward to it.
    """
    found: dict[str, tuple[Api, ...]] = {}
    for name in row.calls:
        callee = next(iter(providers(name, table)))
        api = next(offered for offered in callee.apis if offered.name == name)
        found[callee.name] = (*found.get(callee.name, ()), api)
    return found


def callers(api: str, table: Table = SERVICES) -> tuple[str, ...]:
    """The names of the services that may call an API."""
    return tuple(row.name for row in table if api in row.calls)
