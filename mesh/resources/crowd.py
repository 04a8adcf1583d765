"""How an edge keeps a crowd out: as many calls at a time as are answered in good time.

Refusing in a service costs nearly half of what serving does, and what waits there waits before any code of
ours runs (docs/decisions/0005-overload.md). An edge sees all that a call waits, and refuses for much less.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import timedelta
from typing import Self

from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.extensions.common.matching.v3 import ExtensionWithMatcher
from envoy_data_plane.envoy.extensions.filters.common.matcher.action.v3 import SkipFilter
from envoy_data_plane.envoy.extensions.filters.http.adaptive_concurrency.v3 import (
    AdaptiveConcurrency,
    GradientControllerConfig,
    GradientControllerConfigConcurrencyLimitCalculationParams,
    GradientControllerConfigMinimumRttCalculationParams,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import HttpRequestHeaderMatchInput
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.xds.core.v3 import TypedExtensionConfig as Named
from envoy_data_plane.xds.type.matcher.v3 import (
    Matcher,
    MatcherMatcherList,
    MatcherMatcherListFieldMatcher,
    MatcherMatcherListPredicate,
    MatcherMatcherListPredicatePredicateList,
    MatcherMatcherListPredicateSinglePredicate,
    MatcherOnMatch,
    StringMatcher,
)

from services.catalog import Api, Audience, Table

REFUSED = "reached_concurrency_limit"
"""Envoy's word for a call that was kept out."""
ALL = "all"
"""The name of the crowd of all APIs together."""

_CORES = 2
"""Those that a room by itself is for."""
_INTERVAL = timedelta(milliseconds=100)
_SHARE_OF_OBJECTIVE = 0.25
"""Half of the calls shall end within this share of the time in which 95 % of the quickest service's shall."""
_MEDIAN = Percent(value=50.0)
_OF_MANY = ("BatchCreate", "List")
"""How methods for many things at a time begin, by AIP-132 and 233. They take long by nature.

And an answer larger than the edge's buffers, as a page may be, counts until its caller has read on: who does
not would keep out all others.
"""


@dataclass(frozen=True, slots=True)
class Room:
    """Calls that all edges together let in at a time. By itself, what fits services on two cores.

    A call takes milliseconds of processor time, so a few for each core keep all busy; more only wait longer.
    """

    least: int = 6
    """As many are always let in."""
    most: int = 12
    """No more than so many are, however quick they are: what waits before the first ones end."""
    of_one_api: int = 9
    """So many of those, of any API: one that stands still leaves the others a quarter of the room."""

    @classmethod
    def on(cls, cores: int) -> Self:
        """What fits so many cores."""
        return cls(*(max(1, number * cores // _CORES) for number in astuple(cls())))

    def share(self, edges: int) -> Self:
        """What of it is one edge's, of so many; at least a call."""
        return type(self)(*(max(1, number // max(edges, 1)) for number in astuple(self)))


@dataclass(frozen=True, slots=True)
class Crowd:
    """Calls that are counted together, at one edge."""

    name: str
    apis: tuple[str, ...]
    target: timedelta
    """Half of them shall end within it."""
    least: int
    """So many at a time are let in, however long they take; also at first, before any was measured."""
    most: int
    """No more than so many are, however quick they are."""
    apart: tuple[str, ...]
    """Beginnings of the paths of methods that are not counted."""


def of(table: Table, room: Room) -> tuple[Crowd, ...]:
    """Those at an edge with so much room: one for each API of applications, then one for all.

    In this order: who finds no place among all leaves those of its API at once, whose number is fixed. The
    other way round, a refusal for one API would be taken for a quick answer of the platform.
    """
    offered = [(row, api) for row in table for api in row.apis if api.audience is Audience.PUBLIC]
    if not offered:
        return ()
    target = min(row.objective_p95 for row, _ in offered) * _SHARE_OF_OBJECTIVE
    places = room.of_one_api
    each = tuple(Crowd(api.name, (api.name,), target, places, places, _apart(api)) for _, api in offered)
    apis = tuple(api.name for _, api in offered)
    apart = tuple(path for crowd in each for path in crowd.apart)
    return (*each, Crowd(ALL, apis, target, room.least, room.most, apart))


def _apart(api: Api) -> tuple[str, ...]:
    return tuple(f"/{api.name}/{method}" for method in (*_OF_MANY, *(one.method for one in api.streams)))


def kept_out(crowd: Crowd) -> HttpFilter:
    """Refuses what is beyond the number that is answered in time, and thinks again every tenth of a second.

    The number shrinks by up to a half while the median is above the target, and grows up to twofold below it.
    """
    controller = GradientControllerConfig(
        sample_aggregate_percentile=_MEDIAN,
        concurrency_limit_params=GradientControllerConfigConcurrencyLimitCalculationParams(
            max_concurrency_limit=crowd.most, concurrency_update_interval=_INTERVAL
        ),
        min_rtt_calc_params=GradientControllerConfigMinimumRttCalculationParams(
            # Measured by itself, it would let in hardly anybody for the time of each measurement.
            fixed_value=crowd.target,
            min_concurrency=crowd.least,
            buffer=Percent(value=0.0),
        ),
    )
    limit = TypedExtensionConfig(
        name="envoy.filters.http.adaptive_concurrency",
        typed_config=Any.pack(AdaptiveConcurrency(gradient_controller_config=controller)),
    )
    matched = ExtensionWithMatcher(extension_config=limit, xds_matcher=_skipping(crowd))
    return HttpFilter(name=f"crowd.{crowd.name}", typed_config=Any.pack(matched))


def _skipping(crowd: Crowd) -> Matcher:
    """Lets all other calls go round the filter."""
    others = MatcherMatcherListPredicate(not_matcher=_any(_begins(f"/{api}/") for api in crowd.apis))
    skip = MatcherOnMatch(action=Named(name="skip", typed_config=Any.pack(SkipFilter())))
    rule = MatcherMatcherListFieldMatcher(predicate=_any((others, *map(_begins, crowd.apart))), on_match=skip)
    return Matcher(matcher_list=MatcherMatcherList(matchers=[rule]))


def _any(predicates: Iterable[MatcherMatcherListPredicate]) -> MatcherMatcherListPredicate:
    """Whether one of them holds. Envoy takes no list of one."""
    first, *more = predicates
    if not more:
        return first
    return MatcherMatcherListPredicate(
        or_matcher=MatcherMatcherListPredicatePredicateList(predicate=[first, *more])
    )


def _begins(path: str) -> MatcherMatcherListPredicate:
    header = Named(name="path", typed_config=Any.pack(HttpRequestHeaderMatchInput(header_name=":path")))
    return MatcherMatcherListPredicate(
        single_predicate=MatcherMatcherListPredicateSinglePredicate(
            input=header, value_match=StringMatcher(prefix=path)
        )
    )
