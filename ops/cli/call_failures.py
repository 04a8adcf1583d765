"""What to say of a call to the platform that failed, and what to do next."""

from ops.cli.failures import COULD_NOT_RUN, FAILED
from reverie_client import errors
from reverie_client.errors import ReverieError

_HINTS: tuple[tuple[type[ReverieError], str, int], ...] = (
    (errors.TokenInvalid, "start again from the first page", FAILED),
    (errors.InvalidArgument, "", COULD_NOT_RUN),
    (errors.MemoryNotFound, "`reverie timeline` lists those there are", FAILED),
    (errors.EtagMismatch, "read it again with `reverie get`", FAILED),
    (errors.UserForbidden, "use a token of that user, or one with the scope users:*", COULD_NOT_RUN),
    (errors.ScopeMissing, "use a token with that scope: `reverie token --help`", COULD_NOT_RUN),
    (
        errors.Unauthenticated,
        "$REVERIE_TOKEN may be old: unset it, or make one with `reverie token`",
        COULD_NOT_RUN,
    ),
    (errors.PermissionDenied, "", COULD_NOT_RUN),
    (
        errors.Unreachable,
        "see what is wrong with `reverie status`, start it with `reverie up`",
        COULD_NOT_RUN,
    ),
    (errors.StoreFull, "make room on its disk", FAILED),
    (errors.Unavailable, "see what is wrong with `reverie status`", FAILED),
    (errors.Overloaded, "try again in a moment", FAILED),
    (errors.DeadlineExceeded, "try again; see what is slow with `reverie status`", FAILED),
    (
        errors.Unimplemented,
        "the platform that runs is of another version: `reverie down`, `reverie up`",
        FAILED,
    ),
    (errors.InternalError, "`reverie logs` says what", FAILED),
)


def tell(error: Exception) -> tuple[str, int] | None:
    """The line, and the exit code; None for what is no error of a call."""
    if not isinstance(error, ReverieError):
        return None
    for kind, hint, code in _HINTS:
        if isinstance(error, kind):
            return "; ".join(filter(None, (_said(error), hint))), code
    return _said(error), FAILED


def _said(error: ReverieError) -> str:
    """What the platform said, in front of what it said before it fell silent."""
    cause = error.__cause__
    before = (
        f" (before that: {cause})" if isinstance(cause, ReverieError) and str(cause) != str(error) else ""
    )
    said = "nothing answers" if isinstance(error, errors.Unreachable) else str(error)
    return f"{said}{before}"
