"""Who may call what, worked out from the catalog's table."""

from mesh.topology import EDGE
from services.catalog import Api, Audience, Service, Table, callees

PUBLIC = frozenset({Audience.PUBLIC})
"""What the edge's public listener lets in."""
OPERATOR = frozenset({Audience.PUBLIC, Audience.OPERATOR})
"""What its operator listener lets in."""


def callers(row: Service, api: Api, table: Table) -> tuple[str, ...]:
    """The services, and the edge, that may call an API at a service; sorted."""
    found = {caller.name for caller in table if api in callees(caller, table).get(row.name, ())}
    if api.audience is not Audience.INTERNAL:
        found.add(EDGE)
    return tuple(sorted(found))


def offered(table: Table, audiences: frozenset[Audience]) -> dict[str, tuple[tuple[Service, Api], ...]]:
    """The names of the APIs for an audience, each with the services that serve it, and how they do.

    Where there are several, those come first that pass the call on to others: theirs is the longest way.
    """
    found: dict[str, list[tuple[Service, Api]]] = {}
    for row in table:
        for api in row.apis:
            if api.audience in audiences:
                found.setdefault(api.name, []).append((row, api))
    return {
        name: tuple(sorted(offers, key=lambda offer: name not in offer[0].calls))
        for name, offers in found.items()
    }
