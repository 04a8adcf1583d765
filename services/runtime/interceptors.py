"""What every call passes before a handler sees it: limits, the caller's JWT, errors on the wire, numbers.

Handlers are wrapped once, when a method is first looked up, not by gRPC's interceptors: those would cost
every call a chain of coroutines.
"""

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from time import perf_counter, time
from typing import Any, NamedTuple, NoReturn

import grpc
import structlog

from services import catalog
from services.catalog import Audience
from services.runtime import principal
from services.runtime.admission import ARRIVED, Admission
from services.runtime.errors import (
    Draining,
    InternalError,
    ReverieError,
    Unauthenticated,
    from_rpc_error,
    to_status,
)
from services.runtime.principal import Call, Verifier
from services.runtime.telemetry import Counter, Histogram, Metric
from services.runtime.tokens import METADATA_KEY

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Any]
CoroutineBehaviour = Callable[[Any, Context], Awaitable[Any]]
GeneratorBehaviour = Callable[[Any, Context], AsyncIterator[Any]]

_BEARER = "Bearer "
_BLAMED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""What proxies take for a failure of the instance that says so."""
_log = structlog.get_logger("calls")


class CallNumbers:
    """Counts and durations of calls by method."""

    def __init__(self) -> None:
        self.ended = Counter(
            "reverie_calls_total", "Calls that ended, by method and reason", ("method", "reason")
        )
        self.seconds = Histogram("reverie_call_seconds", "How long calls took", label="method")

    def count(self, method: str, reason: str, started: float) -> None:
        """Counts a call that began at `started`, by `perf_counter`."""
        self.ended.add(1, method, reason)
        self.seconds.observe(perf_counter() - started, method)

    @property
    def metrics(self) -> Sequence[Metric]:
        """Both."""
        return self.ended, self.seconds


class Headers(NamedTuple):
    """What the metadata of a call say to its entrance."""

    authorization: str | None
    token: str | None
    """Its consistency token."""
    arrived: float | None
    """When it came to the proxy in front of this process, in seconds since 1970; None if none says so."""


class Guard:
    """Stands in for a server while services register, and wraps their handlers."""

    def __init__(
        self,
        server: grpc.aio.Server,
        verifier: Verifier | None,
        admissions: Callable[[catalog.Api], Admission],
        numbers: CallNumbers,
    ) -> None:
        self._server = server
        self._verifier = verifier
        self._admissions = admissions
        self._numbers = numbers

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Registers handlers of services that the catalog lists. KeyError if it lists one not."""
        self._server.add_generic_rpc_handlers([self._guarded(handler) for handler in handlers])

    def add_registered_method_handlers(
        self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """Nothing: gRPC's own does nothing either, and the generated code calls both."""

    def _guarded(self, handler: grpc.GenericRpcHandler) -> "_GuardedService":
        if not isinstance(handler, grpc.ServiceRpcHandler):
            raise TypeError("only the handlers of whole services can be registered")
        api = _api(handler.service_name())
        entrance = Entrance(api.audience, self._verifier, self._admissions(api), self._numbers)
        return _GuardedService(handler, entrance)


class Entrance:
    """What calls of one API pass."""

    def __init__(
        self,
        audience: Audience,
        verifier: Verifier | None,
        admission: Admission,
        numbers: CallNumbers,
        clock: Callable[[], float] = time,
    ) -> None:
        """`clock`: seconds since 1970, of the machine on which the proxy in front runs."""
        if audience is not Audience.INTERNAL and verifier is None:
            raise ValueError(
                "an API that takes a JWT needs REVERIE_JWT_KEYS, the file with the issuer's public keys"
            )
        self._audience = audience
        self._verifier = verifier
        self._admission = admission
        self._numbers = numbers
        self._clock = clock

    def wrapped(self, method: str, behaviour: Behaviour) -> Behaviour:
        """The behaviour behind this entrance, of the same kind: coroutine or asynchronous generator."""
        if inspect.isasyncgenfunction(behaviour):
            return self._wrapped_generator(method, behaviour)
        return self._wrapped_coroutine(method, behaviour)

    def _wrapped_coroutine(self, method: str, behaviour: CoroutineBehaviour) -> Behaviour:
        admit, leave = self._admit, self._admission.leave
        authenticate, numbers = self._authenticate, self._numbers

        async def guarded(request: Any, context: Context) -> Any:
            started = perf_counter()
            reason = "CANCELLED"
            try:
                authenticate(admit(context))
                answer = await behaviour(request, context)
                reason = "OK"
            except BaseException as failure:  # noqa: BLE001  (it goes on, as itself or on the wire)
                error = _error(method, failure)
                reason = error.reason
                await refuse(context, error)
            else:
                return answer
            finally:
                leave()
                numbers.count(method, reason, started)

        return guarded

    def _wrapped_generator(self, method: str, behaviour: GeneratorBehaviour) -> Behaviour:
        async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
            started = perf_counter()
            reason = "CANCELLED"
            try:
                self._authenticate(self._admit(context))
                async for response in behaviour(request, context):
                    yield response
                reason = "OK"
            except BaseException as failure:  # noqa: BLE001  (it goes on, as itself or on the wire)
                error = _error(method, failure)
                reason = error.reason
                await refuse(context, error)
            finally:
                self._admission.leave()
                self._numbers.count(method, reason, started)

        return guarded

    def _admit(self, context: Context) -> Headers:
        """Counts the call in. Overloaded if there is no room for it: before anything is spent on it."""
        headers = _headers(context)
        self._admission.enter(0.0 if headers.arrived is None else self._clock() - headers.arrived)
        return headers

    def _authenticate(self, headers: Headers) -> None:
        """Makes the caller known to the handler. Internal APIs may go without: the mesh guards them."""
        if self._verifier is None:
            return
        authorization = headers.authorization
        if authorization is None and self._audience is Audience.INTERNAL:
            return
        if authorization is None or not authorization.startswith(_BEARER):
            raise Unauthenticated
        caller = self._verifier.verify(authorization[len(_BEARER) :])
        if self._audience is Audience.OPERATOR:
            caller.require(principal.OPERATOR)
        principal.enter(Call(caller, authorization, headers.token))


class _GuardedService(grpc.ServiceRpcHandler):
    """The handlers of a service, each wrapped when it is first looked up."""

    def __init__(self, handler: grpc.ServiceRpcHandler, entrance: Entrance) -> None:
        self._handler = handler
        self._entrance = entrance
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service_name(self) -> str:
        """The service's full name."""
        return self._handler.service_name()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The wrapped handler of a method; None if the service has no such method."""
        found = self._wrapped.get(handler_call_details.method)
        return found or self._wrap(handler_call_details)

    def _wrap(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = self._handler.service(details)
        if handler is None:
            return None
        wrapped = _rewrapped(handler, lambda behaviour: self._entrance.wrapped(details.method, behaviour))
        self._wrapped[details.method] = wrapped
        return wrapped


async def refuse(context: Context, error: ReverieError) -> NoReturn:
    """Ends the call with an error; raises what gRPC wants raised.

    A status without headers before it is for proxies to judge: they try another instance, and eject this
    one if it goes on. So only what is this instance's own fault is sent that way; what is wrong behind it is
    wrong for every other instance too, and was tried again there already.
    """
    status = to_status(error)
    if status.code in _BLAMED and not (isinstance(error, Draining) and not error.from_peer):
        # Of a stream that has begun they were sent before.
        with contextlib.suppress(grpc.aio.UsageError):
            await context.send_initial_metadata(())
    await context.abort(status.code, status.details or "", status.trailing_metadata or ())


def _error(method: str, failure: BaseException) -> ReverieError:
    """The error that a caller is told. Raises `failure` itself where it is not for the caller."""
    if isinstance(failure, ReverieError):
        return failure
    if isinstance(failure, grpc.aio.AioRpcError):
        return from_rpc_error(failure)
    if isinstance(failure, grpc.aio.AbortError) or not isinstance(failure, Exception):
        raise failure
    _log.error("a handler failed", method=method, exc_info=failure)
    return InternalError()


def _headers(context: Context) -> Headers:
    authorization = token = arrived = None
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            authorization = str(value)
        elif key == METADATA_KEY:
            token = str(value)
        elif key == ARRIVED and value.isdigit():
            arrived = int(value) / 1e6
    return Headers(authorization, token, arrived)


def _rewrapped(
    handler: "grpc.RpcMethodHandler[Any, Any]", wrap: Callable[[Behaviour], Behaviour]
) -> "grpc.RpcMethodHandler[Any, Any]":
    kinds = {
        (False, False): (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
        (False, True): (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
        (True, False): (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
        (True, True): (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
    }
    behaviour: Any
    behaviour, constructor = kinds[handler.request_streaming, handler.response_streaming]
    return constructor(wrap(behaviour), handler.request_deserializer, handler.response_serializer)


def _api(name: str) -> catalog.Api:
    for provider in catalog.providers(name):
        return next(api for api in provider.apis if api.name == name)
    raise KeyError(f"the catalog lists no API {name!r}")
