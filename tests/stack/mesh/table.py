"""A catalog for tests: an asker calls a teller, and applications call both."""

from datetime import timedelta

from services.catalog import Api, Audience, Breaker, Service, Stream, Table

TELL = "test.v1.TellService"
"""Public, served by the teller, called by the asker."""
STICKY = "test.v1.StickyService"
"""Internal, for the asker, by the value of `sticky-key`."""
NARROW = "test.v1.NarrowService"
"""Served by the hermit, to which only one call at a time is let through. Public."""
SECRET = "test.v1.SecretService"
"""Internal, and nobody may call it."""
ONCE = "test.v1.OnceService"
"""As Tell, but never repeated by a proxy."""
FLOW = "test.v1.FlowService"
"""Public; its methods Flow and Stand stream, until Flow has been silent for a second, Stand for minutes."""
ASK = "test.v1.AskService"
"""Public, served by the asker."""
BOTH = "test.v1.BothService"
"""For operators, served by both; the asker passes it on to the teller."""

OBJECTIVE = timedelta(seconds=1)
"""So long that a fake service is quick on the slowest machine, however many call it at once."""

TABLE: Table = (
    Service(
        name="teller",
        summary="is called",
        objective_p95=OBJECTIVE,
        apis=(
            Api(TELL, Audience.PUBLIC, timeout=timedelta(seconds=2)),
            Api(ONCE, Audience.PUBLIC, retry=None),
            Api(
                FLOW,
                Audience.PUBLIC,
                timeout=timedelta(milliseconds=300),
                streams=(Stream("Flow", idle_timeout=timedelta(seconds=1)), Stream("Stand")),
            ),
            Api(STICKY, Audience.INTERNAL, affinity="sticky-key"),
            Api(SECRET, Audience.INTERNAL),
            Api(BOTH, Audience.OPERATOR),
        ),
    ),
    Service(
        name="hermit",
        summary="is called by few at a time",
        objective_p95=OBJECTIVE,
        apis=(Api(NARROW, Audience.PUBLIC),),
        breaker=Breaker(max_requests=1),
    ),
    Service(
        name="asker",
        summary="calls",
        objective_p95=OBJECTIVE,
        apis=(Api(ASK, Audience.PUBLIC), Api(BOTH, Audience.OPERATOR)),
        calls=(TELL, ONCE, FLOW, STICKY, BOTH, NARROW),
    ),
)
