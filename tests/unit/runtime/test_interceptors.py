import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest

from services import catalog
from services.catalog import Audience
from services.runtime import principal
from services.runtime.admission import ARRIVED, Admission
from services.runtime.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    MemoryExists,
    Overloaded,
    PeerUnavailable,
    ScopeMissing,
    StoreDown,
    Unauthenticated,
    to_status,
)
from services.runtime.interceptors import CallNumbers, Entrance, Guard, refuse
from services.runtime.principal import Principal

METHOD = "/a.B/C"
NOW = 1_900_000_000.0
USER = Principal(UUID(int=1), "ines", frozenset(), datetime(2030, 1, 1, tzinfo=UTC))
OPERATOR = Principal(UUID(int=1), None, frozenset({"operator"}), datetime(2030, 1, 1, tzinfo=UTC))


class Verifier:
    """Knows two JWTs."""

    def verify(self, token: Any) -> Any:
        if token not in {"user", "operator"}:
            raise Unauthenticated
        return USER if token == "user" else OPERATOR


class Context:
    """A call as gRPC hands it over."""

    def __init__(self, *metadata: Any) -> None:
        self.metadata = metadata
        self.aborted: Any = None
        self.has_headers = False
        self.has_begun = False

    async def send_initial_metadata(self, _metadata: Any) -> None:
        if self.has_begun:
            raise grpc.aio.UsageError
        self.has_headers = True

    def invocation_metadata(self) -> Any:
        return self.metadata

    async def abort(self, code: grpc.StatusCode, details: Any, trailing_metadata: Any = ()) -> None:
        self.aborted = (code, details, trailing_metadata)
        raise grpc.aio.AbortError


def as_caller(token: Any) -> Any:
    return Context(("user-agent", "x"), ("authorization", f"Bearer {token}"), ("reverie-token", "t"))


def entrance(audience: Audience = Audience.PUBLIC, limit: int = 10, numbers: Any = None) -> Any:
    verifier: Any = Verifier()
    return Entrance(audience, verifier, Admission(limit, 0.5), numbers or CallNumbers(), lambda: NOW)


async def refusal(behaviour: Any, context: Any, request: Any = None) -> Any:
    with pytest.raises(grpc.aio.AbortError):
        await behaviour(request, context)
    return context.aborted


def expected(error: Any) -> Any:
    status = to_status(error)
    return status.code, status.details, status.trailing_metadata


def passed_on(error: Any) -> Any:
    def made() -> Any:
        failure = error()
        failure.from_peer = True
        return failure

    return made


async def answer(request: Any, _context: Any) -> Any:
    return request, principal.call()


@pytest.mark.parametrize("error", [StoreDown, PeerUnavailable, DeadlineExceeded, passed_on(Draining)])
async def test_what_is_not_the_instances_own_fault_is_sent_so_that_proxies_do_not_judge(error: Any) -> None:
    context = Context()
    with pytest.raises(grpc.aio.AbortError):
        await refuse(context, error())  # type: ignore[arg-type]
    assert context.has_headers
    assert context.aborted == expected(error())


@pytest.mark.parametrize("error", [Draining, MemoryExists])
async def test_what_is_its_own_fault_or_nobodys_is_sent_in_one(error: Any) -> None:
    context = Context()
    with pytest.raises(grpc.aio.AbortError):
        await refuse(context, error())  # type: ignore[arg-type]
    assert not context.has_headers


async def test_a_stream_that_has_begun_fails_as_it_should() -> None:
    context = Context()
    context.has_begun = True
    with pytest.raises(grpc.aio.AbortError):
        await refuse(context, StoreDown())  # type: ignore[arg-type]
    assert context.aborted == expected(StoreDown())


async def test_a_handler_knows_its_caller() -> None:
    request, call = await entrance().wrapped(METHOD, answer)("hello", as_caller("user"))
    assert request == "hello"
    assert call == (USER, "Bearer user", "t")


@pytest.mark.parametrize(
    "context", [Context(), Context(("authorization", "Basic user")), as_caller("forged"), as_caller("")]
)
async def test_a_call_without_a_valid_jwt_ends_before_its_handler(context: Any) -> None:
    entered = []

    async def handler(request: Any, _context: Any) -> None:
        entered.append(request)

    for audience in (Audience.PUBLIC, Audience.OPERATOR):
        code, _, _ = await refusal(entrance(audience).wrapped(METHOD, handler), context)
        assert code == grpc.StatusCode.UNAUTHENTICATED
    assert entered == []


async def test_an_operators_api_needs_the_scope() -> None:
    guarded = entrance(Audience.OPERATOR).wrapped(METHOD, answer)
    assert (await guarded(None, as_caller("operator")))[1].principal is OPERATOR
    missing = ScopeMissing("the token lacks the scope 'operator'")
    assert await refusal(guarded, as_caller("user")) == expected(missing)


async def test_an_internal_api_takes_calls_without_a_jwt_but_none_with_a_forged_one() -> None:
    async def nobody(_request: Any, _context: Any) -> Any:
        with pytest.raises(Unauthenticated):
            principal.current()
        return "done"

    guarded = entrance(Audience.INTERNAL).wrapped(METHOD, nobody)
    assert await asyncio.create_task(guarded(None, Context())) == "done"
    code, _, _ = await refusal(guarded, as_caller("forged"))
    assert code == grpc.StatusCode.UNAUTHENTICATED


async def test_an_error_of_ours_goes_out_with_its_reason() -> None:
    async def handler(_request: Any, _context: Any) -> None:
        raise MemoryExists

    aborted = await refusal(entrance().wrapped(METHOD, handler), as_caller("user"))
    assert aborted == expected(MemoryExists())


async def test_the_error_of_a_callee_goes_on_to_the_caller() -> None:
    async def handler(_request: Any, _context: Any) -> None:
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "no healthy upstream"
        )

    aborted = await refusal(entrance().wrapped(METHOD, handler), as_caller("user"))
    assert aborted == expected(PeerUnavailable("no healthy upstream"))


async def test_an_unexpected_failure_is_logged_and_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def handler(_request: Any, _context: Any) -> None:
        raise ZeroDivisionError("a secret")

    aborted = await refusal(entrance().wrapped(METHOD, handler), as_caller("user"))
    assert aborted == expected(InternalError())
    assert "a secret" in capsys.readouterr().out


async def test_a_handlers_own_abort_and_a_cancellation_pass() -> None:
    async def aborts(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "mine")

    aborted = await refusal(entrance().wrapped(METHOD, aborts), as_caller("user"))
    assert aborted[0] == grpc.StatusCode.DATA_LOSS

    async def cancelled(_request: Any, _context: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await entrance().wrapped(METHOD, cancelled)(None, as_caller("user"))


async def test_more_calls_than_there_is_room_for_are_refused_with_a_delay() -> None:
    leave = asyncio.Event()

    async def handler(_request: Any, _context: Any) -> Any:
        await leave.wait()
        return "done"

    guarded = entrance(limit=2).wrapped(METHOD, handler)
    inside = [asyncio.ensure_future(guarded(None, as_caller("user"))) for _ in range(2)]
    await asyncio.sleep(0)
    code, _, _ = await refusal(guarded, as_caller("user"))
    assert code == Overloaded.code
    leave.set()
    assert await asyncio.gather(*inside) == ["done", "done"]
    assert await guarded(None, as_caller("user")) == "done"


@pytest.mark.parametrize("waited", [0.0, 0.4, -3.0])
async def test_a_call_that_has_waited_for_a_while_is_served(waited: float) -> None:
    context = arrived(f"{(NOW - waited) * 1e6:.0f}")
    assert (await entrance().wrapped(METHOD, answer)("hello", context))[0] == "hello"


async def test_a_call_that_has_waited_for_too_long_is_refused_before_anybody_looks_at_it() -> None:
    for token in ("user", "forged"):
        context = arrived(f"{(NOW - 0.69) * 1e6:.0f}", token)
        aborted = await refusal(entrance().wrapped(METHOD, answer), context)
        assert aborted == expected(Overloaded(retry_delay=timedelta(seconds=1.4)))


@pytest.mark.parametrize("mark", ["", "yesterday", "-1", "1e6"])
async def test_a_mark_that_is_no_time_makes_nobody_late(mark: str) -> None:
    assert await entrance().wrapped(METHOD, answer)("hello", arrived(mark))


def arrived(mark: str, token: str = "user") -> Any:
    return Context((ARRIVED, mark), ("authorization", f"Bearer {token}"))


async def test_room_comes_back_after_failures() -> None:
    async def handler(_request: Any, _context: Any) -> None:
        raise MemoryExists

    guarded = entrance(limit=1).wrapped(METHOD, handler)
    for _ in range(3):
        assert (await refusal(guarded, as_caller("user")))[0] == MemoryExists.code


async def test_calls_are_counted_by_reason() -> None:
    async def handler(request: Any, _context: Any) -> None:
        if request:
            raise MemoryExists

    numbers = CallNumbers()
    guarded = entrance(numbers=numbers).wrapped(METHOD, handler)
    await guarded(None, as_caller("user"))
    await refusal(guarded, as_caller("user"), request="again")
    assert numbers.ended.value(METHOD, "OK") == 1
    assert numbers.ended.value(METHOD, "MEMORY_EXISTS") == 1


async def test_a_stream_passes_the_same_entrance() -> None:
    async def handler(request: Any, _context: Any) -> Any:
        for number in range(request):
            yield number, principal.current()
        if request > 2:
            raise MemoryExists

    numbers = CallNumbers()
    guarded = entrance(limit=1, numbers=numbers).wrapped(METHOD, handler)
    assert [each async for each in guarded(2, as_caller("user"))] == [(0, USER), (1, USER)]
    context = as_caller("user")
    with pytest.raises(grpc.aio.AbortError):
        assert [each async for each in guarded(3, context)]
    assert context.aborted == expected(MemoryExists())
    anonymous = Context()
    with pytest.raises(grpc.aio.AbortError):
        assert [each async for each in guarded(3, anonymous)]
    assert anonymous.aborted[0] == grpc.StatusCode.UNAUTHENTICATED
    assert numbers.ended.value(METHOD, "OK") == 1


class Server:
    """Keeps what is registered."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self.handlers += handlers


class Details:
    def __init__(self, method: Any) -> None:
        self.method = method


def service(name: str, **behaviours: Any) -> Any:
    handlers: dict[str, Any] = {
        method: grpc.unary_unary_rpc_method_handler(behaviour) for method, behaviour in behaviours.items()
    }
    return grpc.method_handlers_generic_handler(name, handlers)


def guard(server: Any, verifier: Any = None) -> Any:
    return Guard(server, verifier, lambda _api: Admission(5), CallNumbers())


async def test_a_registered_handler_is_wrapped_once() -> None:
    server, api = Server(), "reverie.storage.v1.StorageReadService"
    guard(server, Verifier()).add_generic_rpc_handlers([service(api, GetMemory=answer)])
    (registered,) = server.handlers
    assert registered.service_name() == api
    details = Details(f"/{api}/GetMemory")
    handler = registered.service(details)
    assert handler is registered.service(details)
    assert await refusal(handler.unary_unary, Context()) == expected(Unauthenticated())
    assert registered.service(Details(f"/{api}/Other")) is None


def test_a_service_that_the_catalog_does_not_list_is_not_served() -> None:
    with pytest.raises(KeyError, match=r"a\.B"):
        guard(Server()).add_generic_rpc_handlers([service("a.B", C=answer)])


def test_an_api_that_takes_jwts_is_not_served_without_keys() -> None:
    with pytest.raises(ValueError, match="REVERIE_JWT_KEYS"):
        guard(Server()).add_generic_rpc_handlers([service("reverie.storage.v1.StorageReadService", C=answer)])


def test_the_audience_of_each_api_is_one() -> None:
    for row in catalog.SERVICES:
        for api in row.apis:
            audiences = {
                offered.audience
                for provider in catalog.providers(api.name)
                for offered in provider.apis
                if offered.name == api.name
            }
            assert len(audiences) == 1, api.name


async def test_a_call_whose_caller_left_is_counted_as_cancelled() -> None:
    entered = asyncio.Event()

    async def handler(_request: Any, _context: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    numbers = CallNumbers()
    call = asyncio.ensure_future(entrance(numbers=numbers).wrapped(METHOD, handler)(None, as_caller("user")))
    await entered.wait()
    call.cancel()
    await asyncio.wait((call,))
    assert numbers.ended.value(METHOD, "CANCELLED") == 1
    assert numbers.ended.value(METHOD, "OK") == 0
